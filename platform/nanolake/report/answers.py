"""What a chemist asks first of a report: how many, what size, what shapes, how sure."""

from __future__ import annotations

from nanolake.report import evidence, numbers
from nanolake.report.content import Content, Row


def answers(content: Content) -> list[Row]:
    """Return what a chemist asks first: how many, what size, what shapes, how sure.

    A row each: ``question``, ``answer`` (large), ``more`` (below it).
    """
    if content.particles.empty:
        return []
    rows = [_how_many(content), _what_size(content), _what_shapes(content), _how_sure(content)]
    return [row for row in rows if row["answer"]]


def _how_many(content: Content) -> Row:
    frame = content.particles
    pictures = int(frame["micrograph_id"].nunique()) if "micrograph_id" in frame else 0
    where = numbers.counted(pictures, "micrograph") if pictures else ""
    lost = sum(content.data.excluded.values())
    more = [where, numbers.counted(int(frame["experiment"].nunique()), "experiment")]
    if lost:
        more.append(f"{numbers.counted(lost, 'object')} left out")
    count = numbers.counted(len(frame), "particle")
    return _answer("How many?", count, ", ".join(word for word in more if word))


def _what_size(content: Content) -> Row:
    found, unit = content.whole, content.unit
    if found["mean"] is None:
        return _answer("What size?", "", "")
    mean = numbers.plus_minus(found["mean"], found["mean_low"], found["mean_high"])
    places = numbers.decimals(0.5 * (found["D90_high"] - found["D10_low"]) / 20)
    ends = " to ".join(numbers.fixed(found[name], places) for name in ("D10", "D90"))
    spread = numbers.fixed(found["sigma_over_d"], 2)
    return _answer("What size?", f"{mean} {unit}", f"σ/d {spread}; D10 to D90: {ends} {unit}")


def _what_shapes(content: Content) -> Row:
    table = content.group_rows
    if table.empty:
        return _answer("What shapes?", "not grouped", "")
    named = table[table["group"] > 0]
    k = (content.grouping or {}).get("k") or 0
    if len(named) == 1 and k > 1:
        return _answer("What shapes?", "one shape group", f"group {named['group'].iloc[0]} of {k}")
    if len(named) == 1:
        return _answer("What shapes?", "one kind", "no division stands above chance")
    shares = [
        f"{row['group']}: {numbers.percent(row['share'], 0)}"
        for row in named.head(6).to_dict("records")
    ]
    more = ", ".join(shares) + (", …" if len(named) > len(shares) else "")
    return _answer("What shapes?", numbers.counted(len(named), "shape group"), more)


def _how_sure(content: Content) -> Row:
    grouping = content.grouping
    classifier = evidence.unpack(content.data.classifier) or {}
    if grouping is None:
        return _answer("How sure?", "", "")
    found = evidence.stands_out(grouping)
    answer = {
        True: "groups stand above chance",
        False: "groups do not stand above chance",
        None: "groups not tested",
    }[found]
    if (grouping.get("k") or 0) == 1:
        answer = "no groups found"
    more = []
    if grouping.get("silhouette") is not None and grouping.get("null_silhouette_mean") is not None:
        own, null = grouping["silhouette"], grouping["null_silhouette_mean"]
        more.append(f"silhouette {numbers.fixed(own, 2)}, by chance {numbers.fixed(null, 2)}")
    for unseen in ("experiment", "micrograph"):
        share = classifier.get(f"accuracy_heldout_{unseen}")
        if share is not None:
            more.append(f"{numbers.percent(share, 0)} right on {unseen}s never seen")
            break
    return _answer("How sure?", answer, "; ".join(more))


def _answer(question: str, answer: str, more: str) -> Row:
    return {"question": question, "answer": answer, "more": more}
