from pusa_core.fleet.refusals import failure, refusal

GRAPH = {
    "1": {"class_type": "UNETLoader", "inputs": {}, "_meta": {"title": "Wan2.2 high noise 14B"}},
    "2": {"class_type": "PusaSampler", "inputs": {}},
}


def not_in_list(config):
    extra = {"input_name": "unet_name", "input_config": config, "received_value": "wan.safetensors"}
    error = {"type": "value_not_in_list", "message": "Value not in list", "details": "", "extra_info": extra}
    return {
        "error": {"message": "Prompt outputs failed validation"},
        "node_errors": {"1": {"errors": [error]}},
    }


def test_a_missing_model_names_node_input_what_is_there_and_where_it_belongs():
    for config in (
        [["a.safetensors", "b.safetensors"], {}],
        ["COMBO", {"options": ["a.safetensors", "b.safetensors"]}],
    ):
        assert refusal(GRAPH, not_in_list(config)) == (
            "Wan2.2 high noise 14B (node 1): unet_name is 'wan.safetensors', which this server does not have. It has: "
            "a.safetensors, b.safetensors. Put the file into models/diffusion_models there, or change the graph."
        )


def test_of_a_long_list_the_server_tells_nothing_and_so_do_we():
    assert "does not have. Put the file" in refusal(GRAPH, not_in_list(None))


def test_a_number_out_of_range_names_node_and_input():
    error = {
        "type": "value_smaller_than_min",
        "message": "Value 0 smaller than min of 1",
        "details": "steps",
        "extra_info": {"input_name": "steps"},
    }
    assert refusal(GRAPH, {"node_errors": {"2": {"errors": [error]}}}) == (
        "PusaSampler (node 2), input steps: Value 0 smaller than min of 1 (steps)."
    )


def test_a_pack_that_is_not_installed_is_named_by_its_node():
    for error in (
        {
            "type": "invalid_prompt",
            "message": "Cannot execute because node PusaSampler does not exist.",
            "details": "Node ID '#2'",
        },
        {"type": "missing_node_type", "message": "Node 'PusaSampler' not found.", "details": ""},
    ):
        assert refusal(GRAPH, {"error": error}).startswith(
            "The server has no node PusaSampler. Install the pack"
        )


def test_a_full_disk_of_the_server_is_told_as_one():
    event = {
        "node_id": "2",
        "node_type": "PusaSampler",
        "exception_message": "[Errno 28] No space left on device: 'x.png'",
    }
    assert failure(GRAPH, event) == (
        "PusaSampler (node 2): the disk of this worker's ComfyUI is full (No space left on device). Free some space there and run again."
    )


def test_a_nodes_own_sentence_is_kept_in_one_line():
    event = {"node_id": "1", "node_type": "UNETLoader", "exception_message": "Not a model.\nUse another.\n"}
    assert failure(GRAPH, event) == "Wan2.2 high noise 14B (node 1): Not a model. Use another."
