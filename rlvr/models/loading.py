"""Models and tokenizers: from the name in a recipe to something that trains.

Owns: resolving a testbed name, a folder, a GGUF file in a folder, or a Hub id; and the errors of doing so.
Does not own: the testbed's models (`rlvr.models.testbed`), adapters (TRL makes them).
"""

from pathlib import Path
from typing import Any

from rlvr.errors import ModelError, RecipeError
from rlvr.models.testbed import PREFIX, ensure_base

ADAPTER_FILE = "adapter_config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")


def resolve_model(name: str | None) -> str:
    """Returns a path or Hub id for `from_pretrained`; makes a testbed model if the cache does not have it.

    Raises:
        RecipeError: there is no name.
        ModelError: a folder has no model or no tokenizer.
    """
    check_model_name(name)
    assert name is not None
    return str(ensure_base(name.removeprefix(PREFIX))) if name.startswith(PREFIX) else name


def check_model_name(name: str | None) -> None:
    """Raises unless the name can be resolved, as far as that is known without loading or downloading."""
    if not name:
        raise RecipeError(
            "model_name_or_path: missing; give a Hub id, a folder, a GGUF file, or testbed:countdown-tiny."
        )
    path = Path(name)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"{name}: no such GGUF file; check model_name_or_path.")
    elif path.is_dir():
        _check_folder(path)
    elif path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(f"{name}: no such folder; check model_name_or_path.")


def _check_folder(path: Path) -> None:
    """Raises `ModelError` unless the folder has a model and a tokenizer."""
    if gguf_file(path) is not None or (path / ADAPTER_FILE).exists():
        return
    if not (path / "config.json").exists():
        raise ModelError(f"{path}: no config.json; expected a checkpoint that from_pretrained loads, or one GGUF file.")
    if not any((path / file).exists() for file in TOKENIZER_FILES):
        raise ModelError(
            f"{path}: no tokenizer; expected {' or '.join(TOKENIZER_FILES[:2])} beside config.json. "
            "Save it there with tokenizer.save_pretrained."
        )


def gguf_file(path: Path) -> Path | None:
    """Returns the GGUF file that `path` is or, without a config.json beside it, holds.

    Raises:
        ModelError: a folder has several GGUF files and no config.json.
    """
    if path.suffix == ".gguf":
        return path
    if not path.is_dir() or (path / "config.json").exists():
        return None
    files = sorted(path.glob("*.gguf"))
    if len(files) > 1:
        raise ModelError(f"{path}: {len(files)} GGUF files; name one of them as model_name_or_path.")
    return files[0] if files else None


def load_tokenizer(source: str, revision: str | None, trust_remote_code: bool) -> Any:
    """Returns the tokenizer of a resolved model, padding on the left.

    Raises:
        ModelError: it cannot be loaded, or has no token that ends a text.
    """
    from transformers import AutoTokenizer

    gguf = gguf_file(Path(source))
    where, options = (str(gguf.parent), {"gguf_file": gguf.name}) if gguf else (source, {"revision": revision})
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            where, padding_side="left", truncation_side="left", trust_remote_code=trust_remote_code, **options
        )
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"{source}: the tokenizer cannot be loaded ({_first_line(error)}).") from error
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{source}: the tokenizer has no eos token; a completion could never end.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(source: str, revision: str | None, trust_remote_code: bool, **options: Any) -> Any:
    """Returns the causal language model of a resolved name.

    Args:
        source: from `resolve_model`.
        revision: of a Hub model.
        trust_remote_code: run code that comes with the model.
        options: dtype, attn_implementation, quantization_config; those that are None are left out.

    Raises:
        ModelError: it cannot be loaded.
    """
    from transformers import AutoModelForCausalLM

    options = {key: value for key, value in options.items() if value is not None}
    gguf = gguf_file(Path(source))
    if gguf:
        return _load_gguf(gguf, options)
    if (Path(source) / ADAPTER_FILE).exists():
        return _load_adapter(Path(source), trust_remote_code, options)
    try:
        return AutoModelForCausalLM.from_pretrained(
            source, revision=revision, trust_remote_code=trust_remote_code, use_safetensors=True, **options
        )
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"{source}: the model cannot be loaded ({_first_line(error)}).") from error


def _load_adapter(folder: Path, trust_remote_code: bool, options: dict[str, Any]) -> Any:
    """Returns the base model of an adapter with the adapter merged into its weights."""
    from peft import PeftConfig, PeftModel

    try:
        base = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
        model = load_model(resolve_model(base), None, trust_remote_code, **options)
        return PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"{folder}: the adapter cannot be loaded ({_first_line(error)}).") from error


def _load_gguf(gguf: Path, options: dict[str, Any]) -> Any:
    """Returns a GGUF model with its weights dequantised, so that it trains like any other."""
    from transformers import AutoModelForCausalLM, GgufConfig

    try:
        return AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, **{**options, "quantization_config": GgufConfig(dequantize=True)}
        )
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"{gguf}: the model cannot be loaded ({_first_line(error)}).") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
