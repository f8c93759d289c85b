"""The same layers in PyTorch, as a PyTorch user would write them: to measure against, and to check numbers with."""

import torch
from torch import nn

from ecgjax.models import base, conv, tcn_transformer
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


class NormedConv(nn.Module):
    """A causal convolution with weight norm, its parameters named as `torch.nn.utils.weight_norm` names them."""

    def __init__(self, before: int, channels: int, kernel: int, dilation: int):
        super().__init__()
        plain = nn.Conv1d(before, channels, kernel)
        self.dilation, self.pad = dilation, (kernel - 1) * dilation
        self.weight_v, self.bias = nn.Parameter(plain.weight.data), plain.bias
        self.weight_g = nn.Parameter(self.weight_v.data.norm(dim=(1, 2), keepdim=True))

    def forward(self, x_BCT: torch.Tensor) -> torch.Tensor:
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(1, 2), keepdim=True))
        return nn.functional.conv1d(nn.functional.pad(x_BCT, (self.pad, 0)), weight, self.bias, dilation=self.dilation)


class TcnBlock(nn.Module):
    """A residual block; `net` holds the convolutions once more, as the released files have them."""

    def __init__(self, before: int, channels: int, kernel: int, dilation: int, dropout: float):
        super().__init__()
        self.conv1 = NormedConv(before, channels, kernel, dilation)
        self.conv2 = NormedConv(channels, channels, kernel, dilation)
        after = [nn.Identity(), nn.ReLU(), nn.Dropout(dropout)]
        self.net = nn.Sequential(self.conv1, *after, self.conv2, *after)
        self.downsample = nn.Conv1d(before, channels, 1) if before != channels else None

    def forward(self, x_BCT: torch.Tensor) -> torch.Tensor:
        skip = x_BCT if self.downsample is None else self.downsample(x_BCT)
        return nn.functional.relu(self.net(x_BCT) + skip)


class Tcn(nn.Module):
    def __init__(self, config: tcn_transformer.Config):
        super().__init__()
        c, widths = config, (1, *config.channels)
        pairs = enumerate(zip(widths, c.channels, strict=False))
        self.network = nn.Sequential(*(TcnBlock(b, n, c.kernel, 2**i, c.tcn_dropout) for i, (b, n) in pairs))

    def forward(self, x_BTC: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.network(x_BTC.transpose(1, 2))).transpose(1, 2)


class Fusion(nn.Module):
    """`ecgjax.models.tcn_transformer` for three modalities and one post-norm layer."""

    def __init__(self, config: tcn_transformer.Config):
        super().__init__()
        c = self.config = config
        assert (c.num_layers, c.norm_order, c.activation) == (1, base.NormOrder.POST, base.Activation.RELU)
        for i in (1, 2, 3):
            setattr(self, f"tcn{i}", Tcn(c))
            setattr(self, f"project_{i}", nn.Linear(c.channels[-1], c.width))
            setattr(self, f"layernorm_{i}", nn.LayerNorm(c.width))
        layer = nn.TransformerEncoderLayer(c.width, c.num_heads, c.hidden, c.dropout, batch_first=True)
        layer.self_attn.dropout = c.attention_dropout
        self.transformer_encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.project_embed = nn.Linear(c.width, 64)  # left over in the released files

    def forward(self, *signals_BTC: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(tokens (B, L, D), the mean over those of each modality)."""
        tokens = []
        for i, x_BTC in enumerate(signals_BTC, 1):
            x_BLC = getattr(self, f"tcn{i}")(x_BTC)
            x_BLD = getattr(self, f"project_{i}")(x_BLC) * self.config.width**0.5
            tokens.append(getattr(self, f"layernorm_{i}")(x_BLD))
        x_BLD = self.transformer_encoder(torch.cat(tokens, dim=1))
        return x_BLD, [part.mean(1) for part in x_BLD.split([part.shape[1] for part in tokens], dim=1)]


class WerSsl(nn.Module):
    """`Fusion` under the heads of `ecgjax.tasks.modality_recognition`, named as in the released files."""

    def __init__(self, config: tcn_transformer.Config, versions: int = 6):
        super().__init__()
        self.model_fusion, self.drop = Fusion(config), nn.Dropout(0.1)
        for i in (1, 2, 3):
            setattr(self, f"fc{i}", nn.Linear(config.width, 64))
            setattr(self, f"bn{i}", nn.BatchNorm1d(64))
            setattr(self, f"fc2{i}", nn.Linear(64, versions))
        self.fc_final = nn.Linear(192, versions)  # left over in the released files

    def forward(self, *signals_BTC: torch.Tensor) -> list[torch.Tensor]:
        """Logits (B, V) of each modality."""
        logits = []
        for i, mean_BD in enumerate(self.model_fusion(*signals_BTC)[1], 1):
            x_BF = torch.relu(getattr(self, f"bn{i}")(getattr(self, f"fc{i}")(mean_BD)))
            logits.append(getattr(self, f"fc2{i}")(self.drop(x_BF)))
        return logits
