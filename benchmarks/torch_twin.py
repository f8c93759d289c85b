"""The same layers in PyTorch, as a PyTorch user would write them: to measure against, and to check numbers with."""

import torch
from torch import nn

from ecgjax.models import base, conv
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
        for i, layer in enumerate(self.convs):
            x_BCT = layer(x_BCT)
            if i == 0:
                x_BCT = self.norm_0(x_BCT.transpose(1, 2)).transpose(1, 2)
            x_BCT = self.activation(x_BCT)
        x_BLD = self.drop(x_BCT.transpose(1, 2))
        x_BLD = torch.cat([self.cls.expand(len(x_BLD), 1, -1), x_BLD], dim=1)
        x_BLD = self.drop(x_BLD + self.positions[: x_BLD.shape[1]])
        for layer in self.layers:
            x_BLD = layer(x_BLD)
        return self.norm(x_BLD)


class ConvNet(nn.Module):
    """`ecgjax.models.conv`, zeros added by hand: PyTorch's own padding="same" pads even kernels the other way round.

    With `flat`, the convolutions are those of an image one pixel high with channels last, for which PyTorch's CPU
    kernels are quicker; else they are `nn.Conv1d`, as people write them.
    """

    def __init__(self, config: conv.Config, inputs: int = 1, flat: bool = False):
        super().__init__()
        self.config, self.flat = config, flat
        sizes = [(c, k) for c, k in zip(config.channels, config.kernels, strict=True) for _ in range(2)]
        widths = [inputs] + [channels for channels, _ in sizes]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, channels, (1, kernel)) if flat else nn.Conv1d(before, channels, kernel)
            for before, (channels, kernel) in zip(widths, sizes, strict=False)
        )
        for layer in self.convs:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        if flat:
            self.to(memory_format=torch.channels_last)

    def forward(self, x_BTC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(tokens (B, L, D), their maximum over time (B, D))."""
        c, last = self.config, len(self.convs) - 1
        x = x_BTC.transpose(1, 2)
        if self.flat:
            x = x[:, :, None].contiguous(memory_format=torch.channels_last)
        for i, layer in enumerate(self.convs):
            kernel = layer.kernel_size[-1]
            padded = nn.functional.pad(x, ((kernel - 1) // 2, kernel // 2))
            x = nn.functional.leaky_relu(layer(padded), c.negative_slope)
            if i % 2 and i < last:
                x = self.pool(x, c.pool_window, c.pool_stride)
        pooled = self.pool(x, x.shape[-1], 1)
        return x.reshape(*x.shape[:2], -1).transpose(1, 2), pooled.reshape(len(x), -1)

    def pool(self, x: torch.Tensor, window: int, stride: int) -> torch.Tensor:
        if self.flat:
            return nn.functional.max_pool2d(x, (1, window), (1, stride))
        return nn.functional.max_pool1d(x, window, stride)


def recognition_head(width: int, hidden: int = 128, dropout: float = 0.6) -> nn.Sequential:
    """One head of `ecgjax.tasks.transform_recognition`."""
    layers = []
    for before in (width, hidden):
        layers += [nn.Linear(before, hidden), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(hidden, 1))
