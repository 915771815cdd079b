"""DualHead-Net: a backbone, two heads that talk to each other, and their classifiers.

N clips, S clips sampled of each, M persons, T frames, V joints, C coordinates or channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmaction.models import BaseRecognizer
from mmaction.registry import MODELS
from torch import Tensor, nn

from .block import SkeletonGraph

Config = Mapping[str, Any]


@MODELS.register_module()
class DualHeadRecognizer(BaseRecognizer):
    """DualHead-Net (Chen et al., ACM MM 2021).

    What the parts have in common is said once: ``graph_cfg`` and ``recompute`` reach the backbone and both
        heads,
    and each part learns its input channels from the part before it.

    Args:
        graph_cfg: the arguments of :class:`~mmdualhead.models.block.SkeletonGraph`.
        backbone, coarse_head, fine_head, cls_head: configs of the parts.
        temporal_attention: config of the attention on the coarse head's frames, made once a block; None
            leaves it out.
        spatial_attention: likewise on the fine head's joints.
        recompute: keep two fifths of the activations in training and form the others again
            (:class:`~mmdualhead.models.block.STGCBlock`).
        train_cfg, test_cfg, data_preprocessor: see MMAction2's ``BaseRecognizer``.

    Raises:
        ValueError: the heads differ in their number of blocks.
    """

    def __init__(
        self,
        graph_cfg: Config,
        backbone: Config,
        coarse_head: Config,
        fine_head: Config,
        cls_head: Config,
        temporal_attention: Config | None = None,
        spatial_attention: Config | None = None,
        recompute: bool = False,
        train_cfg: Config | None = None,
        test_cfg: Config | None = None,
        data_preprocessor: Config | None = None,
    ) -> None:
        shared = dict(graph_cfg=graph_cfg, recompute=recompute)
        super().__init__(
            backbone={**shared, **backbone},
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor or dict(type='mmaction.ActionDataPreprocessor'),
        )
        shared['in_channels'] = self.backbone.out_channels
        self.coarse_head = MODELS.build({**shared, **coarse_head})
        self.fine_head = MODELS.build({**shared, **fine_head})
        coarse, fine = self.coarse_head, self.fine_head
        if len(coarse.blocks) != len(fine.blocks):
            raise ValueError(
                'DualHeadRecognizer: the heads need equally many blocks; '
                f'coarse has {len(coarse.blocks)}, fine {len(fine.blocks)}'
            )
        num_joints = SkeletonGraph(**graph_cfg).skeleton.num_joints
        self.temporal_attention = _build_attentions(
            temporal_attention, coarse.entry_channels, fine.out_channels, num_joints
        )
        self.spatial_attention = _build_attentions(
            spatial_attention, fine.out_channels, coarse.out_channels, num_joints
        )
        channels = (coarse.out_channels[-1], fine.out_channels[-1])
        self.cls_head = MODELS.build({'in_channels': channels, **cls_head})

    def extract_feat(
        self,
        inputs: Tensor,
        stage: str = 'heads',
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Any, dict]:
        """Run the network up to a stage.

        Args:
            inputs: (N, S, M, T, V, C).
            stage: ``'backbone'``, ``'heads'`` or ``'head'``.

        Returns:
            What the stage gives, and an empty dict, as MMAction2 has it. The backbone: (N * S, M, C, T, V).
            The heads: coarse and fine features of that form. The classifier (``'head'``): coarse and fine
                logits, (N * S, classes).

        Raises:
            ValueError: the stage is unknown.
        """
        if stage not in ('backbone', 'heads', 'head'):
            raise ValueError(f"stage is {stage!r}, expected 'backbone', 'heads' or 'head'")
        x, backbone = inputs.flatten(0, 1), self.backbone
        if stage == 'backbone':
            return backbone(x), {}
        feats = backbone.over_bodies(x, backbone.normalize, self.body_features)
        return (self.cls_head(feats) if stage == 'head' else feats), {}

    def _forward(self, inputs: Tensor, stage: str = 'head', **kwargs: Any) -> tuple[Any, dict]:
        """``mode='tensor'``: what :meth:`extract_feat` gives."""
        return self.extract_feat(inputs, stage, **kwargs)

    def body_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coarse and fine features of normalized bodies (B, C, T, V)."""
        return self.interleave(self.backbone.blocks(x))

    def interleave(self, base: Tensor) -> tuple[Tensor, Tensor]:
        """Both heads, block by block; after each the fine one tells when, the coarse one where to look.

        Args:
            base: the backbone's features (B, C, T, V), of any number of bodies.

        Returns:
            Coarse and fine features.
        """
        coarse, fine = self.coarse_head.stem(base), self.fine_head.stem(base)
        blocks = zip(
            self.coarse_head.blocks,
            self.fine_head.blocks,
            self.temporal_attention,
            self.spatial_attention,
            strict=True,
        )
        for coarse_block, fine_block, weigh_frames, weigh_joints in blocks:
            fine = fine_block(fine)
            coarse = coarse_block(weigh_frames(coarse, fine))
            fine = weigh_joints(fine, coarse)
        return coarse, fine


class NoAttention(nn.Module):
    """The heads keep to themselves."""

    def forward(self, x: Tensor, other: Tensor) -> Tensor:  # noqa: ARG002
        return x


def _build_attentions(
    cfg: Config | None, channels: Sequence[int], other_channels: Sequence[int], num_joints: int
) -> nn.ModuleList:
    """One attention a block."""
    if cfg is None:
        return nn.ModuleList(NoAttention() for _ in channels)
    return nn.ModuleList(
        MODELS.build({**cfg, 'channels': own, 'other_channels': other, 'num_joints': num_joints})
        for own, other in zip(channels, other_channels, strict=True)
    )
