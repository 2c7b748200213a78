"""`ocs costs` and `ocs prices` as one types them, and what they refuse. No server is asked."""

from __future__ import annotations

import pytest

from tests.cli.command import Ocs

SONNET = ("prices", "set", "anthropic/sonnet", "--input", "3", "--output", "15")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (
            ["prices", "set", "sonnet", "--input", "3", "--output", "15"],
            2,
            '"sonnet" is no model; write provider/model',
        ),
        (["prices", "set", "a/b", "--input", "-3", "--output", "15"], 2, '--input "-3" is no amount of US dollars'),
        (["prices", "set", "a/b", "--input", "3", "--output", "nan"], 2, '--output "nan" is no amount'),
        (
            ["prices", "set", "a/b", "--input", "3", "--output", "1", "--cached", "1 EUR"],
            2,
            '--cached "1 EUR" is no amount',
        ),
        (["prices", "set", "a/b", "--input", "3", "--output", "9999999"], 2, "is more than 1,000,000 US dollars"),
        (["prices", "remove", "a/b"], 1, 'No price was set for "a/b".'),
        (["budgets", "set", "0", "--job", "brief", "--per", "day"], 2, "A budget of 0 lets nothing run."),
        (["budgets", "set", "--job", "brief", "--per", "day", "--", "-1"], 2, 'The amount "-1" is no amount'),
        (["budgets", "set", "5 EUR", "--job", "brief", "--per", "day"], 2, 'The amount "5 EUR" is no amount'),
        (["budgets", "set", "inf", "--project", "--per", "month"], 2, 'The amount "inf" is no amount'),
        (["budgets", "set", "1", "--per", "day"], 2, "Whose budget is it? Give --job, --agent or --project"),
        (["budgets", "set", "1", "--project", "--job", "a", "--per", "day"], 2, "and only one."),
        (["budgets", "set", "1", "--job", "a b", "--per", "day"], 2, "The job's id"),
        (["budgets", "remove", "job:brief:day"], 1, 'There is no budget "job:brief:day".'),
        (["costs", "--since", "soon"], 2, '--since "soon": write 2h, 7d'),
    ],
)
def test_what_is_wrong_with_what_was_typed(ocs: Ocs, arguments: list[str], status: int, said: str) -> None:
    answered = ocs(*arguments)
    assert (answered.status, answered.out) == (status, "")
    assert said in answered.err
    assert ocs.json("prices", "list")["prices"] == ocs.json("budgets", "list")["budgets"] == []


def test_a_price_is_set_listed_and_forgotten(ocs: Ocs) -> None:
    price = ocs.json(*SONNET, "--cached", "0.30")["price"]
    assert price == {"model": "anthropic/sonnet", "input": 3.0, "cached": 0.3, "stored": 3.0, "output": 15.0}
    assert ocs.json("prices", "list")["prices"] == [price]
    assert ocs.json("prices", "remove", "anthropic/sonnet")["removed"] == "anthropic/sonnet"
    assert ocs.json("prices", "list")["prices"] == []
    assert [event["action"] for event in ocs.json("audit", "list")["audit"]] == ["price-removed", "price-set"]


def test_a_price_of_a_model_that_nobody_has_used_is_taken_with_a_word(ocs: Ocs) -> None:
    assert "No turn has used anthropic/sonnet yet" in ocs(*SONNET).err
    job = "id: brief\nrun: {agent: {message: Go., model: anthropic/sonnet}}\ndeliver: {when: always, to: ops}\n"
    ocs.write("brief", job)
    assert ocs(*SONNET).err == ""


def test_where_nothing_was_used_nothing_is_summed_up(ocs: Ocs) -> None:
    view = ocs.json("costs", "--by", "day")
    assert (view["costs"], view["total"]) == ([], {"cost_usd": None, "cost_at_least": False})
    assert view["month"]["projected_usd"] is None
    assert "No turn of an agent has used anything since" in ocs("costs").out


def test_a_budget_is_set_listed_and_taken_away(ocs: Ocs) -> None:
    said = ocs.json("budgets", "set", "1.50", "--job", "brief", "--per", "day", "--action", "ask")["budget"]
    assert (said["name"], said["limit_usd"], said["left_usd"]) == ("job:brief:day", 1.5, 1.5)
    assert 'There is no job "brief" in this project' in ocs("budgets", "set", "2", "--job", "brief", "--per", "day").err
    ocs.json("budgets", "set", "20", "--project", "--per", "month", "--action", "warn")
    names = {view["name"]: view["limit_usd"] for view in ocs.json("budgets", "list")["budgets"]}
    assert names == {"job:brief:day": 2.0, "project:month": 20.0}
    assert "project:month" in ocs("budgets", "list").out
    assert ocs.json("budgets", "remove", "project:month")["removed"] == "project:month"
    assert len(ocs.json("budgets", "list")["budgets"]) == 1
