"""Check arguments and word their errors: sizes, paddings, names. The only place that does.

Every message says what must hold, what came, and the fix. Nothing here allocates.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from convkit._elsewhere import for_attribute

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]

MAX_SIZE = 2**31 - 1
MAX_PRODUCT = 2**63 - 1


def integer(function: str, name: str, value: Any, low: int = 1, high: int = MAX_SIZE) -> int:
    """Return `value` as an int in [low, high]; bool and float are refused."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or type(value).__name__ == "bool":
        raise TypeError(f"{function}: {name} must be an int, got {name}={value!r}")
    try:
        number = value.__index__()
    except TypeError:
        raise TypeError(f"{function}: {name} must be an int, got {name}={value!r}") from None
    if not low <= number <= high:
        bound = f"at least {low}" if number < low else f"at most {high}"
        raise ValueError(f"{function}: {name} must be {bound}, got {name}={value!r}")
    return int(number)


def is_sequence(value: Any) -> bool:
    """Say whether `value` is a list, tuple or array of sizes."""
    if isinstance(value, str | bytes):
        return False
    return isinstance(value, Sequence) or getattr(value, "ndim", 0) > 0


def pair(function: str, name: str, value: Any, low: int = 1) -> Pair:
    """Return (rows, columns) from an int or a pair of ints, each at least `low`."""
    if is_sequence(value):
        if len(value) != 2:
            raise ValueError(
                f"{function}: {name} must be an int or a pair of ints, got {name}={value!r}"
            )
        first, second = value
    else:
        first = second = value
    try:
        return integer(function, name, first, low), integer(function, name, second, low)
    except (TypeError, ValueError) as error:
        bound = f"int of at least {low}" if low else "int that is not negative"
        raise type(error)(
            f"{function}: {name} must be an {bound} or a pair of them, got {name}={value!r}"
        ) from None


def integers(
    function: str, name: str, value: Any, low: int = 1, high: int = MAX_SIZE
) -> int | list[int]:
    """Return an int as an int, or several as a list, each in [low, high]."""
    if is_sequence(value):
        return [integer(function, name, item, low, high) for item in value]
    return integer(function, name, value, low, high)


def number(function: str, name: str, value: Any) -> float:
    """Return `value` as a finite float."""
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {name} must be a number, got {name}={value!r}") from None
    if result != result or result in (float("inf"), float("-inf")):
        raise ValueError(f"{function}: {name} must be finite, got {name}={value!r}")
    return result


def at_least_zero(function: str, name: str, value: Any) -> float:
    """Return `value` as a finite float that is not negative."""
    result = number(function, name, value)
    if result < 0:
        raise ValueError(f"{function}: {name} must not be negative, got {name}={value!r}")
    return result


def fraction(function: str, name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1]."""
    result = number(function, name, value)
    if not 0 <= result <= 1:
        raise ValueError(f"{function}: {name} must lie in [0, 1], got {name}={value!r}")
    return result


def snake_case(name: str) -> str:
    """Turn a class name into words: "MeanSquaredError" into "mean_squared_error"."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def suggestion(value: Any, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for a near miss (capitals aside), else what there is."""
    names = sorted(known)
    near = _nearest(str(value), names)
    return f"did you mean {near!r}?" if near else f"use one of: {', '.join(names)}"


def _nearest(value: str, names: list[str]) -> str | None:
    """Return the name that is most like `value`, or None.

    One of the same letters, swapped, goes first; capitals count less than all else.
    """
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(value, names)
    near = near or [lower[n] for n in difflib.get_close_matches(value.lower(), lower)]
    swapped = [name for name in near if sorted(name) == sorted(value)]
    return next(iter(swapped + near), None)


def missing_attribute(owner: str, name: str, known: Iterable[str]) -> AttributeError:
    """Return the error for an attribute that does not exist; it says what to write instead.

    Python itself suggests one in a terminal only, not in notebooks.
    """
    advice, public = for_attribute(owner, name), [n for n in sorted(known) if n[0] != "_"]
    near = None if advice or name.startswith("_") else _nearest(name, public)
    hint = f"; {advice}" if advice else f"; did you mean {near!r}?" if near else ""
    # With a name and no object Python does not add a suggestion of its own.
    return AttributeError(f"{owner} has no attribute {name!r}{hint}", name=name)


def missing_from(module: str, known: Iterable[str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module: it raises the error for a name that does not exist."""

    def getattr_of_module(name: str) -> Any:
        raise missing_attribute(f"module {module!r}", name, known)

    return getattr_of_module


def one_of(function: str, name: str, value: Any, known: Collection[str]) -> str:
    """Return `value` if it is a known name; a wrong one suggests the nearest."""
    if not isinstance(value, str):
        raise TypeError(f"{function}: {name} must be a string, got {name}={value!r}")
    if value not in known:
        raise ValueError(f"{function}: unknown {name}={value!r}; {suggestion(value, known)}")
    return value


# ---- convolution and pooling geometry ------------------------------------------------------------


def explicit_padding(function: str, padding: Any) -> str | Padding:
    """Return "valid", "same" or ((top, bottom), (left, right)) from any accepted form."""
    if isinstance(padding, str):
        return one_of(function, "padding", padding, ("valid", "same"))
    if is_sequence(padding) and any(is_sequence(side) for side in padding):
        try:
            rows, columns = padding
            return pair(function, "padding", list(rows), 0), pair(
                function, "padding", list(columns), 0
            )
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f"{function}: padding must be 'valid', 'same', an int, a pair, or"
                f" ((top, bottom), (left, right)) of ints that are not negative, got"
                f" padding={padding!r}"
            ) from None
    rows, columns = pair(function, "padding", padding, 0)
    return (rows, rows), (columns, columns)


def same_padding(size: int, kernel: int, stride: int) -> Pair:
    """TensorFlow's rule: ceil(size / stride) outputs, the odd cell at the end."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def resolve_padding(
    function: str, padding: Any, size: Sequence[int], kernel: Sequence[int], strides: Sequence[int]
) -> Padding:
    """Return ((top, bottom), (left, right)) for an input and kernel of (rows, columns)."""
    form = explicit_padding(function, padding)
    if form == "valid":
        return (0, 0), (0, 0)
    if form == "same":
        return (
            same_padding(size[0], kernel[0], strides[0]),
            same_padding(size[1], kernel[1], strides[1]),
        )
    assert not isinstance(form, str)
    return form


def output_size(
    function: str,
    shape: Sequence[int],
    kernel: Sequence[int],
    strides: Pair,
    padding: Padding,
    window: Sequence[int],
) -> Pair:
    """Return (rows, columns) of the output for an input (N, H, W, C); `kernel` counts dilation."""
    what = "kernel" if len(window) == 4 else "pool_size"
    result = []
    for axis, name in enumerate(("height", "width")):
        padded = shape[1 + axis] + sum(padding[axis])
        if padded > MAX_SIZE:
            raise ValueError(
                f"{function}: padding must leave the {name} below 2**31, got padding={padding!r}"
                f" on an input of shape {shape}"
            )
        if kernel[axis] > padded:
            raise ValueError(
                f"{function}: the {what} must not be larger than the padded input, got"
                f" {what}={tuple(window)} of {name} {kernel[axis]} with its dilation, on an input"
                f" {shape} of padded {name} {padded}; use padding='same' or a smaller one"
            )
        result.append((padded - kernel[axis]) // strides[axis] + 1)
    return result[0], result[1]


def product(function: str, what: str, sizes: Iterable[int]) -> int:
    """Return the product of sizes, refusing what no 64-bit size can hold."""
    total = 1
    for size in sizes:
        total *= int(size)
    if total * 8 > MAX_PRODUCT:
        raise ValueError(
            f"{function}: {what} would have more than 2**60 elements; use smaller sizes"
        )
    return total


Geometry = Callable[..., dict[str, int]]


def _remembered(geometry: Geometry) -> Geometry:
    """Compute a geometry once per combination of plain arguments: checks cost more than small ops.

    Plain are ints, strings, None and tuples of plain things. 1.0 and True equal 1 but are not: they
    go through the checks each time.
    """
    cached = functools.lru_cache(maxsize=4096)(geometry)

    @functools.wraps(geometry)
    def wrapper(*arguments: Any) -> dict[str, int]:
        return dict((cached if _is_plain(arguments) else geometry)(*arguments))

    return wrapper


def _is_plain(values: tuple[Any, ...]) -> bool:
    for value in values:
        kind = type(value)
        if kind is tuple:
            if not _is_plain(value):
                return False
        elif kind is not int and kind is not str and value is not None:
            return False
    return True


@_remembered
def conv2d_geometry(
    function: str,
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    strides: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> dict[str, int]:
    """Check a convolution and return the size fields of struct ck_conv2d."""
    stride_h, stride_w = pair(function, "strides", strides)
    dilation_h, dilation_w = pair(function, "dilation", dilation)
    groups = integer(function, "groups", groups)
    explicit_padding(function, padding)
    n, ih, iw, c = x_shape
    kh, kw, cg, k = w_shape
    for name, shape, sizes in (("x", x_shape, x_shape[1:]), ("w", w_shape, w_shape)):
        if min(sizes) < 1:
            raise ValueError(
                f"{function}: sizes of {name} must be positive (only the batch may be empty), got"
                f" {name} of shape {tuple(shape)}"
            )
    if c % groups or k % groups:
        raise ValueError(
            f"{function}: groups must divide the channels of x ({c}) and the filters of w ({k}),"
            f" got groups={groups}"
        )
    if c != cg * groups:
        raise ValueError(
            f"{function}: w must have as many input channels as x has per group, got x of shape"
            f" {tuple(x_shape)} and w of shape {tuple(w_shape)} with groups={groups}; w is"
            f" (KH, KW, {c // groups}, K)"
        )
    kernel = ((kh - 1) * dilation_h + 1, (kw - 1) * dilation_w + 1)
    if max(kernel) > MAX_SIZE:
        raise ValueError(f"{function}: dilation={dilation!r} makes the kernel larger than 2**31")
    pads = resolve_padding(function, padding, (ih, iw), kernel, (stride_h, stride_w))
    oh, ow = output_size(function, tuple(x_shape), kernel, (stride_h, stride_w), pads, w_shape)
    product(function, "x", x_shape)
    product(function, "the output", (n, oh, ow, k))
    return {
        **{"n": n, "ih": ih, "iw": iw, "c": c, "oh": oh, "ow": ow, "k": k, "kh": kh, "kw": kw},
        **{"stride_h": stride_h, "stride_w": stride_w},
        **{"dilation_h": dilation_h, "dilation_w": dilation_w},
        **{"pad_top": pads[0][0], "pad_left": pads[1][0], "groups": groups},
    }


def transpose_size(
    size: int, kernel: int, stride: int, padding: str | Pair, extra: int | None
) -> Pair:
    """Return (outputs, outputs cut at the start) of one axis of a transposed convolution.

    Keras's rule: "valid" gives (size - 1) stride + max(kernel, stride) outputs and "same" gives
    size stride; with output padding, (size - 1) stride plus kernel or kernel % 2 plus that padding.
    """
    full = (size - 1) * stride + kernel
    if padding == "valid":
        return full + (max(stride - kernel, 0) if extra is None else extra), 0
    if padding == "same":
        outputs = size * stride if extra is None else (size - 1) * stride + kernel % 2 + extra
        return outputs, max(full - outputs, 0) // 2
    assert not isinstance(padding, str)
    return full - sum(padding) + (extra or 0), padding[0]


@_remembered
def conv2d_transpose_geometry(
    function: str,
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    strides: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    output_padding: Any,
) -> dict[str, int]:
    """Check a transposed convolution; return struct ck_conv2d of the convolution it transposes.

    There, (ih, iw, c) are the sizes of y and (oh, ow, k) those of x.
    """
    stride_h, stride_w = pair(function, "strides", strides)
    dilation_h, dilation_w = pair(function, "dilation", dilation)
    groups = integer(function, "groups", groups)
    form = explicit_padding(function, padding)
    extra: Sequence[int | None] = (None, None)
    if output_padding is not None:
        extra = pair(function, "output_padding", output_padding, 0)
    n, oh, ow, k = x_shape
    kh, kw, cg, wk = w_shape
    for name, shape, sizes in (("x", x_shape, x_shape[1:]), ("w", w_shape, w_shape)):
        if min(sizes) < 1:
            raise ValueError(
                f"{function}: sizes of {name} must be positive (only the batch may be empty), got"
                f" {name} of shape {tuple(shape)}"
            )
    if wk != k or k % groups:
        raise ValueError(
            f"{function}: w must be (KH, KW, K/groups, C) with the {k} channels of x last and"
            f" groups must divide them, got x of shape {tuple(x_shape)} and w of shape"
            f" {tuple(w_shape)} with groups={groups}"
        )
    kernel = ((kh - 1) * dilation_h + 1, (kw - 1) * dilation_w + 1)
    sides = (form, form) if isinstance(form, str) else form
    ih, top = transpose_size(oh, kernel[0], stride_h, sides[0], extra[0])
    iw, left = transpose_size(ow, kernel[1], stride_w, sides[1], extra[1])
    if not 1 <= min(ih, iw) <= max(ih, iw) <= MAX_SIZE or max(kernel) > MAX_SIZE:
        raise ValueError(
            f"{function}: the output must have at least one and fewer than 2**31 rows and columns,"
            f" got {ih}x{iw} from x of shape {tuple(x_shape)}, w of shape {tuple(w_shape)},"
            f" strides={strides!r}, padding={padding!r}, dilation={dilation!r}"
        )
    product(function, "x", x_shape)
    product(function, "the output", (n, ih, iw, cg * groups))
    return {
        **{"n": n, "ih": ih, "iw": iw, "c": cg * groups, "oh": oh, "ow": ow, "k": k},
        **{"kh": kh, "kw": kw, "stride_h": stride_h, "stride_w": stride_w},
        **{"dilation_h": dilation_h, "dilation_w": dilation_w},
        **{"pad_top": top, "pad_left": left, "groups": groups},
    }


@_remembered
def pool2d_geometry(
    function: str, x_shape: Sequence[int], pool_size: Any, strides: Any, padding: Any
) -> dict[str, int]:
    """Check a pooling and return the size fields of struct ck_pool2d."""
    kh, kw = pair(function, "pool_size", pool_size)
    stride_h, stride_w = (kh, kw) if strides is None else pair(function, "strides", strides)
    explicit_padding(function, padding)
    n, ih, iw, c = x_shape
    if min(x_shape[1:]) < 1:
        raise ValueError(
            f"{function}: sizes of x must be positive (only the batch may be empty), got x of shape"
            f" {tuple(x_shape)}"
        )
    pads = resolve_padding(function, padding, (ih, iw), (kh, kw), (stride_h, stride_w))
    if max(pads[0]) >= kh or max(pads[1]) >= kw:
        raise ValueError(
            f"{function}: padding must be smaller than the window, so that no window is all"
            f" padding, got padding={padding!r} with pool_size={(kh, kw)}"
        )
    oh, ow = output_size(function, tuple(x_shape), (kh, kw), (stride_h, stride_w), pads, (kh, kw))
    product(function, "x", x_shape)
    product(function, "the output", (n, oh, ow, c))
    return {
        **{"n": n, "ih": ih, "iw": iw, "c": c, "oh": oh, "ow": ow, "kh": kh, "kw": kw},
        **{
            "stride_h": stride_h,
            "stride_w": stride_w,
            "pad_top": pads[0][0],
            "pad_left": pads[1][0],
        },
    }


# ---- activations ---------------------------------------------------------------------------------

# In the order of enum ck_activation_kind: name -> (kind, parameter and its default or None).
ACTIVATIONS: dict[str, tuple[int, tuple[str, float] | None]] = {
    "linear": (0, None),
    "relu": (1, None),
    "leaky_relu": (2, ("negative_slope", 0.2)),
    "elu": (3, ("alpha", 1.0)),
    "selu": (4, None),
    "gelu": (5, None),
    "silu": (7, None),
    "swish": (7, None),
    "sigmoid": (8, None),
    "tanh": (9, None),
    "softplus": (10, None),
    "hard_sigmoid": (11, None),
    "hard_silu": (12, None),
    "hard_swish": (12, None),
    "mish": (13, None),
}
GELU_TANH = 6


def activation(
    function: str, name: Any, parameters: dict[str, Any], argument: str = "activation"
) -> tuple[int, float]:
    """Return (kind, alpha) of an activation with its parameters."""
    if name is None and argument == "activation":
        name = "linear"
    if name in ("softmax", "log_softmax"):
        raise ValueError(
            f"{function}: {name!r} mixes the channels, so it is not an elementwise activation;"
            f" apply convkit.functional.{name} to the result"
        )
    name = one_of(function, argument, name, ACTIVATIONS)
    kind, parameter = ACTIVATIONS[name]
    allowed = {"approximate"} if name == "gelu" else {parameter[0]} if parameter else set()
    for given in parameters:
        if given not in allowed:
            raise TypeError(
                f"{function}: {name} takes {', '.join(sorted(allowed)) or 'no parameters'}, got"
                f" {given}={parameters[given]!r}"
            )
    if name == "gelu":
        approximate = parameters.get("approximate", False)
        if not isinstance(approximate, bool):
            raise TypeError(f"{function}: approximate must be a bool, got {approximate!r}")
        return (GELU_TANH if approximate else kind), 0.0
    if parameter is None:
        return kind, 0.0
    return kind, number(function, parameter[0], parameters.get(*parameter))
