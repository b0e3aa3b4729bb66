"""What every test that compiles many kernels asks of them."""

from __future__ import annotations

import pytest

from chainrule.compiler import engine, plan, program

# the remainder of floats is a call; everything else is inside the kernel. A call of
# memset or memcpy would come from the optimiser, and has no place in a kernel either.
ALLOWED = {"fmod", "fmodf"}


def share_and_check_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share small kernels between threads, too; let kernels call next to nothing."""
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    load = engine.load_object

    def checked(code: bytes) -> engine.LoadedObject:
        called = set(engine.undefined_symbols(code)) - ALLOWED
        assert not called, f"a kernel calls {called}"
        return load(code)

    monkeypatch.setattr(program, "load_object", checked)
