"""The lists and limits that Python and the browser share are those of the nodes."""

import pytest
from comfy_api.latest import io

from pusa_core import node_names
from pusa_core.experts import BOUNDARY_T2V
from pusa_core.schedule import MAX_STEPS, SHIFT


@pytest.fixture
def schemas(pack):
    return {name: node.GET_SCHEMA() for name, node in pack.items() if name.startswith("Pusa")}


def test_every_name_is_a_node(schemas):
    single = (node_names.DOCTOR, node_names.SWITCH, node_names.SCHEDULER)
    assert {*node_names.INJECTORS, *node_names.FRAME_AWARE, *node_names.LOADERS, *single} <= schemas.keys()


def test_the_injectors_are_the_nodes_that_write_into_a_latent_with_a_vae(schemas):
    def writes(schema):
        inputs = {type(each) for each in schema.inputs}
        outputs = {type(each) for each in schema.outputs}
        return {io.Latent.Input, io.Vae.Input} <= inputs and io.Latent.Output in outputs

    assert {name for name, schema in schemas.items() if writes(schema)} == set(node_names.INJECTORS)


def inputs_named(schemas, name):
    return [each for schema in schemas.values() for each in schema.inputs if each.id == name]


def test_limits_and_defaults_of_the_schedule_are_the_shared_ones(schemas):
    sampling = {
        name: schema for name, schema in schemas.items() if name not in ("PusaTrainingConfig", "PusaSweep")
    }  # one counts others, the other takes lists
    assert {each.max for each in inputs_named(sampling, "steps")} == {MAX_STEPS}
    assert {each.default for each in inputs_named(schemas, "shift")} == {SHIFT}
    assert {each.default for each in inputs_named(schemas, "boundary")} == {BOUNDARY_T2V}
