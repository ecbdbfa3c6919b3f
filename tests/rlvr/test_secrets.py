"""Secrets are refused before anything is written, and the refusal does not show them."""

import pytest
import yaml
from click.testing import CliRunner

from rlvr.cli import main
from rlvr.errors import RecipeError
from rlvr.secrets import refuse_secrets, refuse_secrets_in_flags, without_secrets

SECRET = "hf_" + "aB3" * 10
GIVEN = {"hub_token": "anything", "wandb_api_key": "x", "run_name": SECRET, "report_to": f"https://me:{SECRET}@host/x"}


@pytest.mark.parametrize("key", GIVEN)
@pytest.mark.parametrize("form", ["flag", "equals", "recipe"])
def test_a_secret_is_refused_and_not_shown(key, form, tmp_path):
    value = GIVEN[key]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"algorithm": "grpo", **({key: value} if form == "recipe" else {})}))
    flags = {"flag": [f"--{key}", value], "equals": [f"--{key}={value}"], "recipe": []}[form]
    result = CliRunner().invoke(main, ["train", "--config", str(recipe), "--output_dir", str(tmp_path / "run"), *flags])
    assert result.exit_code == 2
    assert f"{key}: looks like a secret" in result.output
    assert "environment variable" in result.output
    assert value not in result.output
    assert SECRET not in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["HF_TOKEN", "WANDB_API_KEY", "MY_PASSWORD", "AWS_SECRET_ACCESS_KEY"])
def test_a_recipe_may_not_set_a_secret_variable(name):
    with pytest.raises(RecipeError, match="looks like a secret"):
        refuse_secrets({"env": {name: "x"}}, "recipe.yaml")


def test_the_right_variable_is_named():
    with pytest.raises(RecipeError, match="HF_TOKEN"):
        refuse_secrets_in_flags(["--hub-token", "x"])


def test_usual_keys_pass():
    usual = {
        "max_new_tokens": 256,
        "average_tokens_across_devices": True,
        "include_num_input_tokens_seen": "non_padding",
        "eos_token": "<|im_end|>",
        "hub_token": None,
        "model_name_or_path": "org/sk-model",
        "env": {"TOKENIZERS_PARALLELISM": "false"},
        "vllm_server_base_url": "http://host:8000",
    }
    refuse_secrets(usual, "recipe.yaml")
    refuse_secrets_in_flags([f"--{key}={value}" for key, value in usual.items() if key != "hub_token"])


def test_secrets_are_hidden_in_text_that_is_kept():
    assert without_secrets(f"https://me:{SECRET}@host/x --run {SECRET}") == "https://***@host/x --run ***"
