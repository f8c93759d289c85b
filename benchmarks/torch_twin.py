"""The same layers in PyTorch, as a PyTorch user would write them: to measure against, and to check numbers with."""

import torch
from torch import nn

from ecgjax.models import base
from ecgjax.models.conv_transformer import Config, ConvNorm, Pooling, Position


class Encoder(nn.Module):
    """`ecgjax.models.conv_transformer` for its default norm, positions and pooling; width equal to the last channels.

    Dropout on attention weights, which `nn.TransformerEncoderLayer` ties to `dropout`, is set apart, as it is there.
    """

    def __init__(self, config: Config, max_tokens: int = 1281):
        super().__init__()
        c = self.config = config
        assert (c.conv_norm, c.position, c.pooling) == (ConvNorm.FIRST, Position.SINUSOIDAL, Pooling.CLS)
        assert c.channels[-1] == c.width
        sizes = zip((1, *c.channels), c.channels, c.kernels, c.strides, strict=False)
        self.convs = nn.ModuleList(nn.Conv1d(i, o, k, s, padding=k // 2) for i, o, k, s in sizes)
        self.norm_0 = nn.LayerNorm(c.channels[0])
        self.drop = nn.Dropout(c.dropout)
        self.activation = nn.ReLU() if c.activation is base.Activation.RELU else nn.GELU()
        self.cls = nn.Parameter(0.02 * torch.randn(c.width))
        self.register_buffer("positions", torch.tensor(base.sinusoids(max_tokens, c.width), dtype=torch.float32))
        pre = c.norm_order is base.NormOrder.PRE
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                c.width, c.num_heads, c.hidden, c.dropout, c.activation.value, batch_first=True, norm_first=pre
            )
            for _ in range(c.num_layers)
        )
        for layer in self.layers:
            layer.self_attn.dropout = c.attention_dropout
        self.norm = nn.LayerNorm(c.width) if pre else nn.Identity()

    def forward(self, x_BTC: torch.Tensor) -> torch.Tensor:
        """Tokens (B, 1 + L, D), CLS first."""
        x_BCT = x_BTC.transpose(1, 2)
        for i, conv in enumerate(self.convs):
            x_BCT = conv(x_BCT)
            if i == 0:
                x_BCT = self.norm_0(x_BCT.transpose(1, 2)).transpose(1, 2)
            x_BCT = self.activation(x_BCT)
        x_BLD = self.drop(x_BCT.transpose(1, 2))
        x_BLD = torch.cat([self.cls.expand(len(x_BLD), 1, -1), x_BLD], dim=1)
        x_BLD = self.drop(x_BLD + self.positions[: x_BLD.shape[1]])
        for layer in self.layers:
            x_BLD = layer(x_BLD)
        return self.norm(x_BLD)
