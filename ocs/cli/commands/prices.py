"""`ocs prices`: what models cost."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ocs.cli.person import Ear, person
from ocs.cli.render.output import answer, say, table
from ocs.service import costs, session

app = typer.Typer()


@app.command("list", epilog="Example:  ocs prices list")
def list_prices() -> None:
    """List the prices that were set. Of other models that of the gateway counts, where it knows one."""

    async def found() -> list[dict[str, Any]]:
        async with session.store() as store:
            return await costs.prices(store)

    views = session.run(found())

    def people() -> None:
        if not views:
            say("No price was set. Set one with:  ocs prices set anthropic/claude-sonnet --input 3 --output 15")
            return
        rows = [tuple(price.values()) for price in views]
        table(("MODEL", "INPUT", "CACHED", "STORED", "OUTPUT"), rows)
        say("In US dollars for a million tokens.")

    answer({"prices": views}, people)


Model = Annotated[str, typer.Argument(help="provider/model, as ocs costs --by model shows it.")]


@app.command("set", epilog="Example:  ocs prices set anthropic/claude-sonnet --input 3 --output 15 --cached 0.30")
def set_price(
    model: Model,
    input: Annotated[str, typer.Option("--input", help="US dollars for a million tokens that it reads.")],
    output: Annotated[str, typer.Option("--output", help="The same for those that it writes.")],
    cached: Annotated[
        str | None, typer.Option("--cached", help="For those that it reads from a cache; as --input if not given.")
    ] = None,
    stored: Annotated[
        str | None, typer.Option("--stored", help="For those that it puts into a cache; as --input if not given.")
    ] = None,
) -> None:
    """Set what a model costs from now on. It takes the place of the gateway's own price of it."""
    given = {"--input": input, "--output": output, "--cached": cached, "--stored": stored}

    async def changed() -> dict[str, Any]:
        async with session.store() as store:
            price = await costs.set_price(store, model, given, by=person(), listener=Ear())
            return costs.price_view(model, price)

    view = session.run(changed())
    answer(
        {"price": view}, lambda: say(f"{model} costs {view['input']} and {view['output']} US dollars a million tokens.")
    )


@app.command("remove", epilog="Example:  ocs prices remove anthropic/claude-sonnet")
def remove_price(model: Model) -> None:
    """Forget the price of a model. From then on the gateway's own counts, where it knows one."""

    async def removed() -> None:
        from ocs.store import costs as kept

        async with session.store() as store:
            await kept.remove_price(store, model, by=person())

    session.run(removed())
    answer({"removed": model}, lambda: say(f"The price of {model} is forgotten."))
