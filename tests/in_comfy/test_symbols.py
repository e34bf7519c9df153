"""Claims: whatever single name a ComfyUI lacks, all nodes load, and only the features that need it refuse, in a sentence."""

import importlib
import sys
from types import ModuleType

import pytest

from comfyui_pusa.nodes.host import symbols
from support import pairs

BESIDE_NEEDS = {
    "Merge LoRAs": {"ProgressBar", "LoRAAdapter", "WeightAdapterBase", "CallbacksMP"},  # it is given a LoRA, and shows progress
    **{
        name: {"WAN21"}
        for name in (
            "Wan2.2 MoE Switch",
            "Pusa Stages",
            "Apply Vectorized Timesteps",
            "Pusa Frozen Frame Cache",
            "Pusa Progressive",
            "Loop Model",
        )
    },  # they look at the model's class
}  # fmt: skip
"""Names that the nodes behind a feature use besides those that it declares."""


@pytest.fixture
def pack_without(pack_root, monkeypatch):
    """pack_without(name) -> (node classes by id, Features by name) of a second copy of the pack, for which ComfyUI lacks a name."""
    made = []

    def load(missing):
        package = f"pusa_without_{missing}"
        made.append(package)
        for name, folder in (("", ""), (".nodes", "nodes"), (".nodes.host", "nodes/host")):
            module = ModuleType(package + name)
            module.__path__ = [str(pack_root / folder)]
            sys.modules[package + name] = module
        copy = importlib.import_module(f"{package}.nodes.host.symbols")
        copy.PLACES[missing] = tuple(f"no_such_module.{place}" for place in copy.PLACES[missing])
        copy.probe()
        assert copy.missing([missing]) == [missing]
        for path in sorted((pack_root / "nodes").glob("[!_]*.py")):
            importlib.import_module(f"{package}.nodes.{path.stem}")
        nodes = {
            schema.node_id: node
            for name, module in list(sys.modules.items())
            if name.startswith(f"{package}.nodes.")
            for node in vars(module).values()
            if isinstance(node, type) and node.__module__ == name and hasattr(node, "define_schema")
            and (schema := node.define_schema())
        }  # fmt: skip
        kinds = importlib.import_module(f"{package}.nodes.host.features").Feature.kinds
        return nodes, {kind.name: kind for kind in kinds}

    yield load
    for name in [name for name in sys.modules if name.partition(".")[0] in made]:
        del sys.modules[name]


@pytest.mark.parametrize("missing", symbols.PLACES)
def test_a_missing_name_costs_the_features_that_need_it_only(
    missing, pack, pack_without, load_tiny_wan, tiny_lora_file
):
    nodes, kinds = pack_without(missing)
    assert nodes.keys() == pack.keys()
    workshop = pairs.Workshop(nodes, load_tiny_wan, tiny_lora_file)
    lacks = "no_such_module." + symbols.PLACES[missing][0].replace(":", ".")
    for treatment in pairs.features().values():
        needed = missing in {*kinds[treatment.name].needs, *BESIDE_NEEDS.get(treatment.name, ())}
        refusal = refused(treatment, workshop, load_tiny_wan())
        if needed:
            assert f"does not work on this ComfyUI ({symbols.version()}): it lacks {lacks}" in refusal, (
                treatment.name
            )
        else:
            assert refusal == "", f"{treatment.name} refuses without {missing}, which it does not declare"


def refused(treatment, workshop, model):
    """The sentence of a refusal, empty where the node's work is done; any other error goes through."""
    try:
        treatment.put(workshop, model, 0)
    except ValueError as error:
        if type(error).__name__ != "PusaError":
            raise
        return str(error)
    return ""
