"""What `python -m experiments.benchmark` measures, and how much of it. Standard library only, for `--help`."""

import dataclasses

PARTS = ("step", "input", "embedding", "ranking", "rendering")


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """Which training steps are timed.

    Attributes:
        dtypes: Compute dtypes of the step.
        batch_sizes: Images in a batch of each kind; () for the config's.
        data_dir: Where the datasets of the config are; "" renders a few pictures to read.
        bounds: JSON files of `python -m experiments.train_compile`, whose bounds the steps are held against.
        seconds: How long each program works.
    """

    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    batch_sizes: tuple[int, ...] = ()
    data_dir: str = ""
    bounds: tuple[str, ...] = ()
    seconds: float = 10.0


@dataclasses.dataclass(frozen=True)
class InputOptions:
    """How the input of the training steps is timed; config, batch size and data are those of `StepOptions`.

    Attributes:
        num_workers: Numbers of decoding processes; 0 decodes in a thread.
        seconds: How long each program works.
    """

    num_workers: tuple[int, ...] = (0, 1, 2)
    seconds: float = 10.0


@dataclasses.dataclass(frozen=True)
class RankingOptions:
    """At which sizes the scorer is timed.

    Attributes:
        sizes: Names in `sizes.SIZES`.
        scale: Divisor of their counts.
        dimensions: Length of an embedding.
        turns: Turns of each program.
        rerank: Measure re-ranking too.
    """

    sizes: tuple[str, ...] = ("market1501", "msmt17")
    scale: int = 1
    dimensions: int = 2048
    turns: int = 5
    rerank: bool = False


@dataclasses.dataclass(frozen=True)
class RenderingOptions:
    """What is rendered.

    Attributes:
        recipes: Names of recipes.
        num_pairs: Pairs that each process draws.
        num_processes: Processes that are compared with one.
    """

    recipes: tuple[str, ...] = ("pit", "pit_reid")
    num_pairs: int = 60
    num_processes: int = 2


@dataclasses.dataclass(frozen=True)
class EmbeddingOptions:
    """What is embedded.

    Attributes:
        batch_sizes: Images that are embedded at once.
        turns: Turns of each runtime.
        seconds: How long each runtime works at each batch size.
        width: Channels of the encoder's stem; 64 is the real network.
        image_size: Height and width.
    """

    batch_sizes: tuple[int, ...] = (1, 16, 64)
    turns: int = 5
    seconds: float = 10.0
    width: int = 64
    image_size: tuple[int, int] = (256, 128)


@dataclasses.dataclass(frozen=True)
class Options:
    """All that is measured.

    Attributes:
        parts: Names in `PARTS`, in the order in which they run.
        step: The part "step".
        input: The part "input".
        embedding: The part "embedding".
        ranking: The part "ranking".
        rendering: The part "rendering".
    """

    parts: tuple[str, ...] = PARTS
    step: StepOptions = StepOptions()
    input: InputOptions = InputOptions()
    embedding: EmbeddingOptions = EmbeddingOptions()
    ranking: RankingOptions = RankingOptions()
    rendering: RenderingOptions = RenderingOptions()
