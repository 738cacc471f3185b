"""A small static site for all that a store holds: overview, tasks, papers, methods, trials, environment.

Every page stands alone and links to the others by relative addresses, so that the folder opens from disk.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.papers import CERTAINTY_MARKS
from bench.record import Record
from bench.registry import Registry
from bench.reproduction import VERDICTS
from bench.store import frame_of
from reports import site_trials
from reports.addresses import ENVIRONMENT, INDEX, TOP, TRIAL_PAGES, TRIALS, Addresses, addresses
from reports.facts import KEY, environments, failures, header_facts, latest, trials
from reports.leaderboard import leaderboard
from reports.page import MADE, generated, lead
from reports.prose import blocks
from reports.rendering import Link, render
from reports.sections import Illustrated, Section, overview, sections, together
from reports.site_methods import method_entry, method_page_facts
from reports.site_papers import CLAIM_VERDICTS, Judged, claim_views, kind_counts, note, table_views
from reports.site_registry import card_rows, metric_rows, setting_table
from reports.text import label, message

Illustrate = Callable[[Sequence[Any], Mapping[str, Record]], list[Illustrated]]

TASK_LINKS = 12
"""Tasks in the navigation of a page; the overview has all."""

TRIAL_LINES = 2_000
"""Trials that the page of all trials lists."""


@dataclass(frozen=True)
class Site:
    """All that its pages are made from."""

    title: str
    records: Sequence[Record]
    by_key: Mapping[str, Record]
    registry: Registry
    papers: Sequence[Judged]
    kinds: Mapping[str, str]
    sections: Mapping[str, Sequence[Section]]
    """The boards of each task."""
    addresses: Addresses

    def trail(self, page: str) -> list[Link]:
        """The navigation as seen from a page; tasks by name, the rest by kind."""
        top = TOP if "/" in page else ""
        places = [(INDEX, "Overview")]
        places += [(address, label(task)) for task, address in list(self.addresses.tasks.items())[:TASK_LINKS]]
        places += [(f"{INDEX}#papers", "Papers")] if self.papers else []
        places += [(f"{INDEX}#methods", "Methods"), (TRIALS, "Trials"), (ENVIRONMENT, "Environment")]
        return [Link(top + address, text, address == page) for address, text in places]

    def render(self, template: str, page: str, title: str, **facts: Any) -> str:
        root = TOP if "/" in page else ""
        footer = f"Latest record: {latest(self.records)}. {MADE}"
        return render(template, title, trail=self.trail(page), root=root, footer=footer, **facts)


def write_site(
    records: Iterable[Record],
    out: Path,
    title: str,
    registry: Registry,
    papers: Sequence[Judged],
    illustrate: Illustrate,
) -> list[Path]:
    """Writes the site into the folder `out`, which is made if need be, and returns its files, the overview first.

    Pages of an earlier site in that folder that this one has no more are removed. Equal records give equal bytes.
    """
    ordered = sorted(records, key=lambda record: (record.key, record.attempt))
    by_key = {record.key: record for record in ordered}
    known = addresses(list(by_key.values()), registry, [judged.paper.name for judged in papers])
    kinds = {card.name: card.kind for task in registry.tasks.values() for card in task.cards}
    boards = leaderboard(frame_of(ordered), by_key)
    by_task = {
        task: sections(
            illustrate([board for board in boards if board.task == task], by_key), by_key, kinds, known.method
        )
        for task in known.tasks
    }
    site = Site(title, list(by_key.values()), by_key, registry, papers, kinds, by_task, known)
    written = []
    for address, text in _pages(site):
        path = out / address
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
    for folder in ("tasks", "methods", "papers", "trials"):
        for stale in set((out / folder).glob("*.html")) - set(written):
            stale.unlink()
    return written


def _pages(site: Site) -> Iterator[tuple[str, str]]:
    yield INDEX, _index(site)
    for task, address in site.addresses.tasks.items():
        yield address, _task(site, task, address)
    for (task, method), address in site.addresses.methods.items():
        entry = method_entry(site.registry, task, method)
        facts = method_page_facts(task, method, entry, site.sections[task], site.by_key, site.addresses)
        yield address, site.render("method.html", address, label(f"{task}/{method}"), brand="method", **facts)
    for judged in site.papers:
        address = site.addresses.papers[judged.paper.name]
        yield address, _paper(site, judged, address)
    others = _others(site.records)
    for key, address in site.addresses.trials.items():
        yield address, _trial(site, site.by_key[key], others[_cell(site.by_key[key])], address)
    yield TRIALS, _trials(site)
    yield ENVIRONMENT, _environment(site)


def _index(site: Site) -> str:
    lines = [
        overview(section, f"{site.addresses.tasks[task]}#{section.anchor}")
        for task, found in site.sections.items()
        for section in found
    ]
    verdicts = {
        judged.paper.name: (list(judged.verdicts().values()), list(judged.claim_verdicts().values()))
        for judged in site.papers
    }
    return site.render(
        "index.html",
        INDEX,
        site.title,
        brand="allwin site",
        lead=lead(site.records),
        generated=generated(site.records, site.kinds),
        facts=header_facts(site.records),
        overview=lines,
        suites=_suites(site.records),
        figure_verdicts=VERDICTS,
        claim_verdicts=CLAIM_VERDICTS,
        papers=[
            {
                "title": message(judged.paper.title),
                "venue": message(judged.paper.venue),
                "page": site.addresses.papers[judged.paper.name],
                "figures": verdicts[judged.paper.name][0],
                "claims": verdicts[judged.paper.name][1],
            }
            for judged in site.papers
        ],
        figure_totals=[sum(column) for column in zip(*(figures for figures, _ in verdicts.values()), strict=True)],
        claim_totals=[sum(column) for column in zip(*(claims for _, claims in verdicts.values()), strict=True)],
        methods=[_method_line(site, task, method) for task, method in site.addresses.methods],
    )


def _suites(records: Iterable[Record]) -> list[tuple[str, ...]]:
    """What was run: a line for each suite and budget."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.provenance.suite, record.spec.budget), []).append(record)
    rows = []
    for (suite, budget), group in sorted(groups.items()):
        statuses = Counter(record.status for record in group)
        rows.append(
            (
                label(suite) or "none",
                budget,
                label(", ".join(sorted({record.spec.task for record in group}))),
                str(len({record.spec.dataset for record in group})),
                str(len({(record.spec.task, record.spec.method) for record in group})),
                str(len({record.spec.seed for record in group})),
                *(str(statuses[status]) for status in ("ok", "failed", "skipped")),
            )
        )
    return rows


def _method_line(site: Site, task: str, method: str) -> dict[str, Any]:
    entry = method_entry(site.registry, task, method)
    found = [record for record in site.records if (record.spec.task, record.spec.method) == (task, method)]
    first = sum(
        row.rank == 1 for section in site.sections[task] for row in section.sheet.board.rows if row.method == method
    )
    return {
        "name": label(f"{task}/{method}"),
        "page": site.addresses.method(task, method),
        "oracle": bool(entry and entry.oracle),
        "summary": message(entry.summary) if entry else "not among the sources here",
        "paper": label(entry.paper) if entry else "",
        "paper_page": site.addresses.paper(entry.paper) if entry else "",
        "ok": sum(record.status == "ok" for record in found),
        "other": sum(record.status != "ok" for record in found),
        "first": first,
    }


def _task(site: Site, task: str, address: str) -> str:
    entry = site.registry.tasks.get(task)
    mine = [record for record in site.records if record.spec.task == task]
    headers, rows = setting_table(entry) if entry else ([], [])
    found = site.sections[task]
    return site.render(
        "task.html",
        address,
        label(task),
        brand="task",
        summary=message(entry.summary) if entry else "The sources here have no task of this name.",
        lead=lead(mine).partition(", ")[2],
        generated=generated(mine, site.kinds),
        version=entry.version if entry else None,
        prose=blocks(entry.doc) if entry else [],
        metrics=metric_rows(entry.metrics) if entry else [],
        cards=card_rows(entry, sorted({record.spec.dataset for record in mine})) if entry else [],
        workloads=sorted({message(record.workload) for record in mine if record.workload})[:20],
        setting_headers=headers,
        settings=rows,
        overview=[overview(section, f"#{section.anchor}") for section in found],
        sections=found,
        together=together([section.sheet.board for section in found]),
        addresses={name: TOP + page for (of, name), page in site.addresses.methods.items() if of == task},
        methods=[_method_line(site, *key) for key in site.addresses.methods if key[0] == task],
    )


def _paper(site: Site, judged: Judged, address: str) -> str:
    paper = judged.paper
    here = [
        {"name": label(f"{task}/{method}"), "page": TOP + page}
        for (task, method), page in site.addresses.methods.items()
        if (entry := method_entry(site.registry, task, method)) and entry.paper.replace("-", "_") == paper.name
    ]
    return site.render(
        "paper.html",
        address,
        paper.title,
        brand="paper",
        name=paper.name,
        facts=[
            ("Authors", message(paper.authors)),
            ("Venue", message(paper.venue)),
            ("Reference", message(paper.reference)),
        ],
        note=note(paper.note),
        discussion=note(paper.discussion),
        methods=here,
        verdicts=VERDICTS,
        figures=judged.verdicts(),
        claims_counted=judged.claim_verdicts(),
        kinds=kind_counts(judged),
        tables=table_views(judged),
        claims=claim_views(judged),
        certainties=CERTAINTY_MARKS,
    )


def _cell(record: Record) -> str:
    spec = record.spec
    parameters = json.dumps(spec.parameters, sort_keys=True)
    return f"{spec.task}\n{spec.dataset}\n{spec.method}\n{spec.budget}\n{spec.device}\n{parameters}"


def _others(records: Iterable[Record]) -> Mapping[str, list[Record]]:
    """Trials that differ in nothing but their seeds."""
    found: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: (record.spec.seed, record.key)):
        found.setdefault(_cell(record), []).append(record)
    return found


def _trial(site: Site, record: Record, alike: Sequence[Record], address: str) -> str:
    spec = record.spec
    drawn, unseen = site_trials.curves(record)
    pages = [(str(one.spec.seed), site.addresses.trials.get(one.key, ""), one.key == record.key) for one in alike]
    return site.render(
        "trial.html",
        address,
        label(f"{spec.task}/{spec.method} on {spec.dataset}, seed {spec.seed}"),
        brand="trial",
        status=record.status,
        key=record.key,
        generated=generated([record], site.kinds),
        task_page=site.addresses.tasks[spec.task],
        task=label(spec.task),
        method_page=site.addresses.method(spec.task, spec.method),
        method=label(spec.method),
        alike=[(seed, page, current) for seed, page, current in pages if page][:50],
        facts=site_trials.trial_facts(record),
        failure=site_trials.failure(record),
        metrics=site_trials.metrics(record),
        costs=site_trials.costs("cost", record.costs),
        training=site_trials.costs("training", record.training),
        sketches=drawn,
        unseen=unseen,
        artefacts=site_trials.artefacts(record),
        settings=site_trials.fields(spec.settings),
        parameters=site_trials.fields(spec.parameters),
        seconds=site_trials.seconds(record),
        seeds=site_trials.named(record.seeds),
        parts_of_key=site_trials.named(record.parts),
        provenance=site_trials.provenance(record),
    )


def _trials(site: Site) -> str:
    told, untold = failures(site.records)
    boards = [section.sheet.board for found in site.sections.values() for section in found]
    listed = trials(site.records, boards, environments(site.records))
    return site.render(
        "trials.html",
        TRIALS,
        "Trials",
        brand=message(site.title),
        lead=lead(site.records),
        failures=told,
        failures_left_out=untold,
        trials=listed[:TRIAL_LINES],
        trials_left_out=max(0, len(listed) - TRIAL_LINES),
        pages={key[:KEY]: address for key, address in site.addresses.trials.items()},
        pages_left_out=len(site.records) - len(site.addresses.trials),
        most=TRIAL_PAGES,
    )


def _environment(site: Site) -> str:
    found = environments(site.records)
    return site.render(
        "environment.html",
        ENVIRONMENT,
        "Environment",
        brand=message(site.title),
        environments=found.shown,
        environments_left_out=found.left_out,
    )
