"""DualHead-Net: a backbone, heads that listen to each other, and their classifiers.

N clips, S clips sampled of each, M persons, T frames, V joints, C coordinates or channels. Feature maps of
persons are (N * S * M, C, T, V) until the classifiers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from mmaction.models import BaseRecognizer
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmdualhead.errors import UserError

from .block import build_graph
from .build import build_part

Config = Mapping[str, Any]

STAGES = ('backbone', 'features', 'head')


class Link(NamedTuple):
    """Who attends to whom.

    Attributes:
        name: of the attention.
        source: the head that is listened to: the output of its block, before anything weighs that.
        target: the head whose features get weighed. One that is its own source is weighed by these features.
        weighs: the ``'input'`` or the ``'output'`` of the target's blocks.
    """

    name: str
    source: str
    target: str
    weighs: str


@MODELS.register_module()
class DualHeadRecognizer(BaseRecognizer):
    """DualHead-Net (Chen et al., ACM MM 2021), for any number of heads.

    What the parts have in common is given once: the graph and ``recompute`` reach the backbone and all heads,
    and each part gets its input channels from the part before it. The heads run block by block, and
    attentions stand between them; they are entries of their own, by name, so that a config swaps, adds or
    (with None) removes one without repeating the heads. None removes a head, too.

    Args:
        graph_cfg: the arguments of :class:`~mmdualhead.models.block.SkeletonGraph`, or of the graph that
            ``type`` names.
        backbone, cls_head: configs of the parts.
        heads: config of each head, by name; all have equally many blocks.
        attentions: config of each attention, by name: ``type``, ``source``, ``target``, ``weighs`` as in
            :class:`Link`, and arguments. One is built for every block.
        recompute: keep two fifths of the activations in training and form the others again
            (:class:`~mmdualhead.models.block.STGCBlock`).
        train_cfg, test_cfg, data_preprocessor: see MMAction2's ``BaseRecognizer``.

    Raises:
        UserError: there is no head or no classifier; the heads differ in their number of blocks; an attention
            names no head or, in use, changes the shape of what it weighs; or heads wait for each other's
            blocks in a circle.
    """

    def __init__(
        self,
        graph_cfg: Config,
        backbone: Config,
        heads: Mapping[str, Config | None],
        cls_head: Config,
        attentions: Mapping[str, Config | None] | None = None,
        recompute: bool = False,
        train_cfg: Config | None = None,
        test_cfg: Config | None = None,
        data_preprocessor: Config | None = None,
    ) -> None:
        graph = build_graph(graph_cfg)
        shared = dict(graph_cfg=graph, recompute=recompute)
        super().__init__(
            backbone={**shared, **backbone},
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor or dict(type='mmaction.ActionDataPreprocessor'),
        )
        shared['in_channels'] = self.backbone.out_channels
        self.heads = nn.ModuleDict({name: build_part(cfg, **shared) for name, cfg in _given(heads).items()})
        self.depth = _common_depth(self.heads)

        used = _given(attentions)
        self.links = tuple(_take_link(name, cfg, tuple(self.heads)) for name, cfg in used.items())
        self.order = computing_order(tuple(self.heads), self.links)
        self.attentions = nn.ModuleDict(
            {link.name: self._build_attention(link, used[link.name], graph.num_joints) for link in self.links}
        )
        if not cls_head:
            raise UserError('DualHeadRecognizer: cls_head is empty; nothing would be learned or predicted')
        channels = {name: head.out_channels[-1] for name, head in self.heads.items()}
        self.cls_head = MODELS.build({'in_channels': channels, **cls_head})

    def _build_attention(self, link: Link, cfg: Config, num_joints: int) -> nn.ModuleList:
        """One attention for each block."""
        source, target = self.heads[link.source], self.heads[link.target]
        weighed = target.entry_channels if link.weighs == 'input' else target.out_channels
        heard = weighed if link.source == link.target else source.out_channels
        return nn.ModuleList(
            build_part(cfg, channels=channels, source_channels=source_channels, num_joints=num_joints)
            for channels, source_channels in zip(weighed, heard, strict=True)
        )

    def extract_feat(
        self,
        inputs: Tensor,
        stage: str = 'features',
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Any, dict]:
        """Run the network up to a stage.

        Args:
            inputs: (N, S, M, T, V, C).
            stage: ``'backbone'``, ``'features'`` or ``'head'``.

        Returns:
            What the stage gives, and an empty dict, as MMAction2 has it. The backbone: (N * S, M, C, T, V).
            The features: such a tensor for each head, by name. The classifiers (``'head'``, MMAction2's
            word): the logits (N * S, classes) of each head, in the order of the config.

        Raises:
            ValueError: the stage is unknown.
        """
        if stage not in STAGES:
            raise UserError(f'stage is {stage!r}, expected one of {STAGES}')
        x = inputs.flatten(0, 1)
        if stage == 'backbone':
            return self.backbone(x), {}
        features = self.person_features(self.backbone.normalize(x))
        clips = {name: maps.unflatten(0, x.shape[:2]) for name, maps in features.items()}
        return (clips if stage == 'features' else self.cls_head(clips)), {}

    def _forward(self, inputs: Tensor, stage: str = 'head', **kwargs: Any) -> tuple[Any, dict]:
        """``mode='tensor'``: what :meth:`extract_feat` gives."""
        return self.extract_feat(inputs, stage, **kwargs)

    def person_features(self, x: Tensor) -> dict[str, Tensor]:
        """The features of each head, of normalized persons (N * S * M, C, T, V)."""
        return self.interleave(self.backbone.blocks(x))

    def interleave(self, base: Tensor) -> dict[str, Tensor]:
        """All heads, block by block, with the attentions between them.

        Args:
            base: the backbone's features (N * S * M, C, T, V).

        Returns:
            The features of each head.
        """
        features = {name: head.stem(base) for name, head in self.heads.items()}
        for i in range(self.depth):
            outputs: dict[str, Tensor] = {}
            for name in self.order:
                x = self._attend(i, name, 'input', features[name], outputs)
                outputs[name] = self.heads[name].blocks[i](x)
            features = {name: self._attend(i, name, 'output', outputs[name], outputs) for name in self.heads}
        return features

    def _attend(self, i: int, head: str, place: str, x: Tensor, outputs: Mapping[str, Tensor]) -> Tensor:
        """Weigh the input or the output of a head's block by what the heads it listens to gave there."""
        for link in self.links:
            if (link.target, link.weighs) == (head, place):
                source = x if link.source == head else outputs[link.source]
                weighed = self.attentions[link.name][i](x, source)
                _require_shape(link, weighed, x)
                x = weighed
        return x


def computing_order(heads: Sequence[str], links: Iterable[Link]) -> tuple[str, ...]:
    """The order in which the blocks of one level run: a head whose input is weighed waits for its source.

    Raises:
        UserError: heads wait for each other in a circle.
    """
    waits: dict[str, set[str]] = {name: set() for name in heads}
    for link in links:
        if link.weighs == 'input' and link.source != link.target:
            waits[link.target].add(link.source)
    try:
        return tuple(TopologicalSorter(waits).static_order())
    except CycleError as error:
        circle = ' for '.join(reversed(error.args[1]))
        raise UserError(
            f'DualHeadRecognizer: the heads wait for each other in a circle: {circle}. '
            "One of these attentions has to weigh an 'output'"
        ) from None


def _require_shape(link: Link, weighed: Tensor, x: Tensor) -> None:
    """Refuse an attention that would turn features into others, which the next block might take."""
    if weighed.shape != x.shape:
        raise UserError(
            f'DualHeadRecognizer: attention {link.name!r} makes {tuple(weighed.shape)} of {tuple(x.shape)}; '
            'it has to keep the shape of what it weighs'
        )


def _given(parts: Mapping[str, Config | None] | None) -> dict[str, dict[str, Any]]:
    """Those that a config has not removed by None."""
    return {name: dict(cfg) for name, cfg in (parts or {}).items() if cfg is not None}


def _take_link(name: str, cfg: dict[str, Any], heads: tuple[str, ...]) -> Link:
    """Move the keys of a link out of an attention's config."""
    missing = [key for key in Link._fields[1:] if key not in cfg]
    if missing:
        raise UserError(f'DualHeadRecognizer: attention {name!r} lacks {", ".join(missing)}')
    link = Link(name, *(cfg.pop(key) for key in Link._fields[1:]))
    for key in ('source', 'target'):
        if getattr(link, key) not in heads:
            raise UserError(
                f'DualHeadRecognizer: attention {name!r} has {key}={getattr(link, key)!r}, '
                f'the heads are {heads}'
            )
    if link.weighs not in ('input', 'output'):
        raise UserError(
            f"DualHeadRecognizer: attention {name!r} has weighs={link.weighs!r}, expected 'input' or 'output'"
        )
    return link


def _common_depth(heads: Mapping[str, nn.Module]) -> int:
    """The number of blocks that all heads have."""
    if not heads:
        raise UserError('DualHeadRecognizer: heads is empty, or None for each; a network needs at least one')
    depths = {name: len(head.blocks) for name, head in heads.items()}
    if len(set(depths.values())) != 1:
        listed = ', '.join(f'{name} has {depth}' for name, depth in depths.items())
        raise UserError(f'DualHeadRecognizer: the heads need equally many blocks; {listed}')
    return next(iter(depths.values()))
