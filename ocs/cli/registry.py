"""Every command: the module it is in, and the line that stands for it in lists. Nothing else is imported for those.

A new command is a function with `@app.command(epilog="Example:  ocs ...")` on the `app = typer.Typer()` of its module
in `commands/`, and a line here, in the order in which help lists it. Its summary is the first paragraph of the
function's docstring (a test compares them). A module imports at its top what its arguments and options need; what it
works with, inside its functions: `ocs ... --help` imports neither job documents nor a network client (a test looks).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Command(NamedTuple):
    """A command and the module whose `app` has it."""

    module: str
    summary: str


class Branch(NamedTuple):
    """A group of commands. One that does something by itself has a module, whose `app` has that as its callback."""

    summary: str
    commands: Mapping[str, Branch | Command]
    module: str | None = None


COMMANDS: Mapping[str, Branch | Command] = {
    "up": Command(
        "commands.serve", "Start a Prefect server of our own with a worker, and roll out the project one stands in."
    ),
    "down": Command("commands.serve", "End what `ocs up` started, after its running jobs have ended."),
    "worker": Command("commands.serve", "Run a worker against the server that PREFECT_API_URL names, until Ctrl-C."),
    "ui": Command(
        "commands.access",
        "Print a link that opens the UI without asking for the password: good once, for five minutes, and for you only.",
    ),
    "env": Command(
        "commands.access",
        'Print what stock `prefect` needs to reach what `ocs up` runs, the password too: eval "$(ocs env)".',
    ),
    "status": Command("commands.status", "Show the server, its workers, and what runs, waits, comes next and failed."),
    "doctor": Command(
        "doctor.command",
        "Examine everything: versions, data, store, server, workers, jobs. Ends with status 1 when there is a problem.",
    ),
    "deploy": Command("commands.deploy", "Roll out what changed in the catalogue, and regenerate prefect.yaml."),
    "init": Command(
        "commands.project",
        "Make a new project: a folder with prefect.yaml, commented jobs to learn from, and one for backups.",
    ),
    "uninstall": Command(
        "commands.uninstall", "Say what lies where, and what to type to take it away. Nothing is removed."
    ),
    "why": Command(
        "commands.why",
        "Say of every occurrence of a job what became of it, and why: also of those while everything was down.",
    ),
    "calendar": Command("commands.why", "Show a week of one job or of all: what ran, what did not, what is to come."),
    "costs": Command(
        "commands.costs",
        "Show what turns of agents have used and cost, and what this month comes to. Unknown is never taken for 0.",
    ),
    "jobs": Branch(
        "Jobs: list, add, change, run.",
        {
            "list": Command("commands.jobs", "List the jobs: when they run next, and how they ended last."),
            "show": Command(
                "commands.jobs",
                "Show one job: its document, how it stands, whom it tells of how its runs end, and its last runs.",
            ),
            "validate": Command("commands.jobs", "Check the whole catalogue, or files. Changes nothing."),
            "preview": Command("commands.jobs", "Show when a job runs next, in local time and UTC."),
            "add": Command(
                "commands.jobs_add", "Add a job: checks the whole catalogue with it, writes its file, and rolls it out."
            ),
            "edit": Command(
                "commands.jobs_edit",
                "Change a job: values with --set, or its file in $EDITOR. Comments and order stay; a bad edit changes nothing.",
            ),
            "enable": Command(
                "commands.jobs_edit", "Let a job's schedule run again, also when it was paused in the UI."
            ),
            "disable": Command("commands.jobs_edit", "Pause a job's schedule; it can still be run by hand."),
            "remove": Command(
                "commands.jobs_edit",
                "Remove a job: its file and its deployment; what runs or waits of it is ended. Its history stays.",
            ),
            "run": Command(
                "commands.jobs_run", "Run a job now, beside its schedule; values of --set are for this run only."
            ),
            "cancel": Command(
                "commands.jobs_run",
                "End a job's running runs and withdraw its waiting ones. Its schedule goes on; ocs jobs disable ends that.",
            ),
            "switch": Command(
                "commands.jobs_switch",
                "Enable the jobs that were imported from another scheduler, once that one has let go of them.",
            ),
            "spawn": Command(
                "commands.jobs_spawn",
                "Have a job run once, now or at its schedule.at: for runs whose own job says spawn.",
            ),
            "tree": Command("commands.jobs_tree", "Show which jobs run after which, and on what condition."),
            "export": Command(
                "commands.jobs_tree",
                "Print job documents as they are written, several with --- between them; what has problems is left out.",
            ),
            "import": Branch(
                "Take over jobs of other schedulers: each becomes a job file, disabled until you enable it.",
                {
                    "crontab": Command(
                        "commands.jobs_import",
                        "Make a job of each entry of a crontab, and name every line that cannot be one. Again, it changes nothing.",
                    ),
                    "openclaw-scheduler": Command(
                        "commands.jobs_import_openclaw",
                        "Make a job of each job of openclaw-scheduler, and name what cannot be carried over. Again, it changes nothing.",
                    ),
                    "openclaw": Command(
                        "commands.jobs_import_openclaw",
                        "Make a job of each automation of OpenClaw, and name what cannot be carried over. Again, it changes nothing.",
                    ),
                },
            ),
        },
    ),
    "runs": Branch(
        "Runs: what ran, why, and what it said.",
        {
            "list": Command("commands.runs", "List runs, newest first."),
            "show": Command("commands.runs", "Tell the whole story of a run: why it ran, how it ended, what followed."),
            "logs": Command("commands.runs", "Print a run's log as Prefect has it."),
            "output": Command(
                "commands.runs",
                "Print all a run said, as it said it; from its file when it was too long for the store.",
            ),
            "cancel": Command(
                "commands.runs", "Stop a running run: everything it started is ended, nothing is retried."
            ),
            "retry": Command(
                "commands.runs_retry",
                "Make a further attempt at what a run failed at, with the job as it is rolled out now. Asking twice makes one.",
            ),
            "watch": Command(
                "commands.runs_watch",
                "Watch runs begin and end until Ctrl-C: a live table, or one line for each change where there is no terminal.",
            ),
        },
    ),
    "approvals": Branch(
        "Approvals: runs that wait until a person agrees (approval.required).",
        {
            "list": Command("commands.approvals", "List what waits for a decision, oldest first."),
            "show": Command("commands.approvals", "Show what would run and why, until when, and what was decided."),
            "approve": Command(
                "commands.approvals", "Let a waiting run go on, as exactly what is shown. The first decision counts."
            ),
            "reject": Command(
                "commands.approvals",
                "End a waiting run: nothing of it is run, and its job's failure children follow. The first decision counts.",
            ),
        },
    ),
    "proposals": Branch(
        "Proposals: jobs that agents would have. Nothing of them runs until a person says yes.",
        {
            "list": Command(
                "commands.proposals",
                "List jobs that agents have proposed, newest first: nothing of them runs until you accept it.",
            ),
            "show": Command(
                "commands.proposals",
                "Show what a proposal would change, who made it and why, and what you should know before you decide.",
            ),
            "accept": Command(
                "commands.proposals",
                "Accept a proposal: it becomes the job's file, as it is shown, and is rolled out. The first decision counts.",
            ),
            "reject": Command(
                "commands.proposals", "Reject a proposal: nothing comes of it. The first decision counts."
            ),
        },
    ),
    "messages": Branch(
        "Messages to agents: their turns are shown what waits for them. Nothing is started because of a message.",
        {
            "send": Command(
                "commands.messages",
                "Send a message. It waits until a turn of that agent that was shown it has ended well, or until it expires.",
            ),
            "inbox": Command(
                "commands.messages",
                "List what waits for a reader, broadcasts included, in the order in which turns are shown it.",
            ),
            "outbox": Command("commands.messages", "List what somebody has sent, newest first, and how it stands."),
            "show": Command("commands.messages", "Show a message whole, what became of it, and its answers."),
            "thread": Command("commands.messages", "List a message and its direct answers, oldest first."),
            "receipts": Command(
                "commands.messages",
                "List what became of a message, oldest first: turns that were shown it, how they ended, who read it.",
            ),
            "ack": Command(
                "commands.messages_read", "Acknowledge a message: it waits no more. Each acknowledgement is kept."
            ),
            "read": Command("commands.messages_read", "Mark a message as read: it waits no more."),
            "readall": Command(
                "commands.messages_read", "Mark as read all that waits for a reader, and what its turns were shown."
            ),
            "unread": Command(
                "commands.messages_read", "Count what a reader has not read: what waits, and what its turns were shown."
            ),
        },
    ),
    "dispatch": Branch(
        "Tasks for agents: handed over, followed, ended. A task is a run of an agent's job that serves as template.",
        {
            "start": Command(
                "commands.dispatch",
                "Hand a task to an agent: one turn with all that follows from it, delivered once, whatever restarts meanwhile.",
            ),
            "batch": Command(
                "commands.dispatch",
                "Start many tasks, all or none; each line has the names of start's options, and what is given here is for all.",
            ),
            "list": Command(
                "commands.dispatch", "List tasks, newest first: how each stands, and what its agent does now."
            ),
            "show": Command(
                "commands.dispatch",
                "Show a task: how it stands, what its agent does now, what it has used, and what it said.",
            ),
            "wait": Command(
                "commands.dispatch",
                "Wait for a task's end, with what its agent says as it comes; ends with its outcome.",
            ),
            "result": Command(
                "commands.dispatch",
                "Print what a task's agent said in the end, whole. Ends with status 1 when the task has failed, or not ended.",
            ),
            "steer": Command(
                "commands.dispatch_steer",
                "Tell a task's agent something while it works. It is kept until it was read; show says what became of it.",
            ),
            "cancel": Command(
                "commands.dispatch",
                "End a task: its turn and its sub-agents are ended in the gateway; one that waits is withdrawn.",
            ),
            "done": Command(
                "commands.dispatch",
                "Report a task done: its agent's word, kept with the task. The task ends when its turn does, not by this.",
            ),
        },
    ),
    "tasks": Branch(
        "Trackers: tasks and others that belong together. One ends with its last member, is told once, and followed.",
        {
            "list": Command(
                "commands.trackers",
                "List trackers, newest first: how each stands, and how many of its members have ended.",
            ),
            "show": Command(
                "commands.trackers",
                "Show a tracker: how each member stands, until when, who hears of its end, and what runs next.",
            ),
            "create": Command(
                "commands.trackers",
                "Make a tracker of members: tasks join it with ocs dispatch start --track, others send heartbeats.",
            ),
            "add": Command("commands.trackers", "Add members to an open tracker."),
            "heartbeat": Command(
                "commands.trackers", "Say that a member works: the first time it begins. Tasks need none."
            ),
            "done": Command("commands.trackers", "Say that a member has completed. Tasks end with their runs."),
            "fail": Command("commands.trackers", "Say that a member has failed. Tasks end with their runs."),
            "close": Command(
                "commands.trackers", "End a tracker before its members have. Its tasks go on, and no job follows."
            ),
            "wait": Command(
                "commands.trackers",
                "Wait until a tracker has ended. Ends with status 1 unless all of its members have completed.",
            ),
        },
    ),
    "team": Branch(
        "Teams: who belongs together, their gates, and what they have not acknowledged.",
        {
            "list": Command("commands.teams", "List the teams: who belongs to each, and which of its gates are open."),
            "show": Command(
                "commands.teams",
                "Show a team: what its members do, its gates, and its mailbox with who has not acknowledged what.",
            ),
            "set": Command(
                "commands.teams",
                "Make a team, or say anew who belongs to it. A message to team:NAME is for each of its members.",
            ),
            "remove": Command(
                "commands.teams",
                "End a team. Its gates go on, and what was sent to it stays with nobody to read it.",
            ),
        },
    ),
    "mcp": Branch(
        "Serve the tools of an MCP server to an agent over standard input and output, until the input ends.",
        {
            "token": Branch(
                "Tokens: who may use the tools over HTTP (ocs mcp --http), and which.",
                {
                    "create": Command(
                        "commands.mcp_tokens",
                        "Make a token for a caller of ocs mcp --http, and show it: this once, for only its digest is kept.",
                    ),
                    "list": Command("commands.mcp_tokens", "List who has a token, and what each may do."),
                    "revoke": Command(
                        "commands.mcp_tokens",
                        "Revoke a caller's token: its next call is refused, also one of a session that is open.",
                    ),
                },
            ),
        },
        module="commands.mcp",
    ),
    "agents": Branch(
        "Agents: which work now, what they can do, and where their results go.",
        {
            "list": Command(
                "commands.agents", "List agents: which work now, by the turns that really run, and when they did last."
            ),
            "show": Command(
                "commands.agents",
                "Show an agent: what it does now, its tasks that have not ended, and what it has not read.",
            ),
            "set": Command(
                "commands.agents",
                "Say what an agent can do, and who hears the results of its tasks. What is not given stays.",
            ),
        },
    ),
    "queue": Branch(
        "What waits to become a run (by hand, children, retries, turns), and messages that were not sent yet.",
        {
            "retry": Command(
                "commands.queue",
                "Send a delivery that was given up once more, or a waiting one at once. Parts that arrived are not repeated.",
            ),
            "list": Command(
                "commands.queue",
                "List what waits, and for what. Occurrences to come of schedules do not wait; see ocs jobs list.",
            ),
            "cancel": Command(
                "commands.queue",
                "Withdraw one that waits: it never becomes a run, or is never sent. All runs of a job: ocs jobs cancel.",
            ),
        },
    ),
    "targets": Branch(
        "Delivery targets: whom jobs tell how they ended. A job names them in deliver.to.",
        {
            "list": Command("commands.targets", "List the targets, and the jobs of this project that name them."),
            "add": Command("commands.targets", "Make a target, or change the one of that name."),
            "remove": Command(
                "commands.targets", "Delete a target. What waits to be sent to it waits for one of the same name."
            ),
            "test": Command("commands.targets", "Send a message to a target now, and say whether it arrived."),
        },
    ),
    "secrets": Branch(
        "Secrets: values that a job names in run.shell.secrets and nobody sees.",
        {
            "set": Command(
                "commands.secrets",
                "Make a secret, or change the one of that name: its value is asked for, or read from standard input or a file.",
            ),
            "list": Command(
                "commands.secrets", "List the secrets by name, and the jobs of this project that name them."
            ),
            "remove": Command("commands.secrets", "Delete a secret."),
        },
    ),
    "pools": Branch(
        "Pools: slots that jobs share, named by limits.pool. A pool that nobody has set has one slot.",
        {
            "list": Command(
                "commands.pools", "List the pools: their slots, and how many runs have one or wait for one."
            ),
            "set": Command(
                "commands.pools", "Set how many runs of a pool's jobs may execute at the same time. Running ones go on."
            ),
        },
    ),
    "budgets": Branch(
        "Budgets: what agents may spend in a day or a month; a run that does not fit is not started.",
        {
            "list": Command(
                "commands.budgets", "List the budgets: what was spent of each, and what runs at work hold."
            ),
            "set": Command(
                "commands.budgets",
                "Set what may be spent in US dollars, by a job, by an agent, or by everything. Runs at work go on.",
            ),
            "remove": Command(
                "commands.budgets", "Take a budget away. What is skipped or asked for because of it stays so."
            ),
        },
    ),
    "prices": Branch(
        "Prices: what models cost, in US dollars for a million tokens.",
        {
            "list": Command(
                "commands.prices",
                "List the prices that were set. Of other models that of the gateway counts, where it knows one.",
            ),
            "set": Command(
                "commands.prices",
                "Set what a model costs from now on. It takes the place of the gateway's own price of it.",
            ),
            "remove": Command(
                "commands.prices",
                "Forget the price of a model. From then on the gateway's own counts, where it knows one.",
            ),
        },
    ),
    "idem": Branch(
        "The idempotency ledger: which occasions have had their run.",
        {
            "list": Command("commands.idem", "List keys, newest first."),
            "show": Command("commands.idem", "Show one key: whose it is, and until when it blocks."),
            "release": Command("commands.idem", "Free a key, so that its occasion may run again."),
            "prune": Command(
                "commands.idem",
                "Delete keys that block nothing any more: expired or released ones. Runs stay as they are.",
            ),
        },
    ),
    "audit": Branch(
        "The audit trail: who did what, from where. It only ever grows.",
        {
            "list": Command("commands.audit", "List what people and the scheduler did, newest first."),
        },
    ),
    "backup": Branch(
        "Backups: store, server's database, targets, secrets and job files in one file.",
        {
            "create": Command("commands.backup", "Make a backup, also while everything runs, and verify it."),
            "list": Command("commands.backup", "List backups, newest first."),
            "verify": Command(
                "commands.backup", "Read all of a backup, and compare it with the checksums of its manifest."
            ),
            "restore": Command(
                "commands.backup",
                "Put everything back, while nothing runs. Stand in the project, or in an empty folder for it.",
            ),
        },
    ),
    "service": Branch(
        "Start with the machine: `ocs up` as a service of systemd or launchd, without root.",
        {
            "install": Command(
                "commands.service",
                "Have `ocs up` of this home and project start with the machine, and start it now. Needs no root.",
            ),
            "status": Command("commands.service", "Say whether the service is installed, starts by itself, and runs."),
            "restart": Command(
                "commands.service",
                "Start the service anew once its running jobs have ended, as after an upgrade: the store is brought up to date.",
            ),
            "remove": Command(
                "commands.service",
                "End the service once its running jobs have ended, and have it start no more. All data stays.",
            ),
            "logs": Command(
                "commands.service",
                "Print what the service said; server and worker have their own logs in OCS_HOME/logs.",
            ),
        },
    ),
    "schema": Branch(
        "JSON Schemas, for editors and programs.",
        {
            "job": Command("commands.project", "The JSON Schema of a job document."),
            "run": Command("commands.project", "The JSON Schema of a run as `--json` shows it."),
        },
    ),
}
