"""Our own strategies: a shell command, an agent's turn, a turn of the main session, a watchdog's check."""

from __future__ import annotations

from ocs.spec.run import Agent, Main, Shell, Watchdog
from ocs.spec.strategy import Strategy


def _command(shell: Shell) -> str:
    codes = shell.success_codes
    around = {
        "in": shell.cwd,
        "with": " ".join(f"{name}={_on_a_line(value)}" for name, value in shell.env.items()),
        "secrets": " ".join(shell.secrets),
        "succeeds with": " ".join(map(str, codes)) if codes != (0,) else None,
        "by": shell.interpreter if shell.interpreter != "/bin/bash" else None,
    }
    notes = [f"# {name}: {_on_a_line(value)}" for name, value in around.items() if value]
    return "\n".join([*notes, shell.command.rstrip()])


def _on_a_line(value: str) -> str:
    """A value of more lines must not look like the command below it."""
    return repr(value) if "\n" in value else value


def _check(watchdog: Watchdog) -> str:
    return _command(watchdog.check)


def _turn(agent: Agent) -> str:
    check = f"# then checked with: {_on_a_line(agent.check)}\n" if agent.check else ""
    return f"# agent: {_on_a_line(agent.agent)}\n{check}{agent.message.rstrip()}"


def _told(main: Main) -> str:
    return main.message.rstrip()


SHELL = Strategy(
    Shell, "A shell command.", _command, "tasks.commands:run_job", text="A shell command.", keeps_time=True
)
AGENT = Strategy(
    Agent, "An agent's turn.", _turn, "tasks.turns:run_agent", text="The message to the agent.", keeps_time=True
)
MAIN = Strategy(
    Main,
    "A turn of the main session.",
    _told,
    "tasks.turns:run_main",
    text="The message to the main session.",
    keeps_time=True,
)
WATCHDOG = Strategy(
    Watchdog, "A check until something is done.", _check, "tasks.watchdogs:run_watchdog", keeps_time=True
)
