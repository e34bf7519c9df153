"""Claims: ComfyUI gets every node that stands in nodes/, and Manager's static scanner finds the same ones."""

from devtools.node_ids import node_ids


def test_every_node_written_in_nodes_is_registered(pack, pack_root, record_property):
    written = node_ids(pack_root)
    record_property("nodes", f"{len(written & set(pack))} of {len(written)}")
    assert written == set(pack)
