"""The original's networks and update in PyTorch: as its loop ran them, and as fast as we can."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from keras_colorize.color import normalize
from tests.benchmarks.training_step import BATCH_SIZE, BATCHES, random_images

RATES = {"generator": 3e-4, "discriminator": 6e-5}
L1_WEIGHT, REAL_TARGET = 0.99, 0.9
DECAY_STEPS = 60_000

Step = Callable[[Tensor], None]
"""One update on normalized Lab, (N, 3, 32, 32)."""


def _down(inputs: int, filters: int, *, stride: int = 2, normalize: bool = True) -> nn.Module:
    convolution = nn.Conv2d(inputs, filters, 4, stride, padding=stride - 1)
    normalization = [nn.BatchNorm2d(filters)] if normalize else []
    return nn.Sequential(convolution, *normalization, nn.LeakyReLU(0.2))


def _up(inputs: int, filters: int, dropout: float = 0.0) -> nn.Module:
    convolution = nn.ConvTranspose2d(inputs, filters, 4, 2, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters), nn.ReLU(), nn.Dropout(dropout))


def _enlarge(x: Tensor) -> Tensor:
    size = (x.shape[2] + 3, x.shape[3] + 3)
    return functional.interpolate(x, size, mode="bilinear", align_corners=True)


class Generator(nn.Module):
    """Lightness (N, 1, 32, 32) -> ab (N, 2, 32, 32)."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((64, 128), (128, 256), (256, 512), (512, 512))
        self.encoder = nn.ModuleList([_down(1, 64, stride=1), *(_down(*pair) for pair in sizes)])
        self.decoder = nn.ModuleList(
            [_up(512, 512, 0.5), _up(1024, 256, 0.5), _up(512, 128), _up(256, 64)]
        )
        self.final = nn.Conv2d(128, 2, 1)

    def forward(self, lightness: Tensor) -> Tensor:
        """Predicts ab."""
        x = _enlarge(lightness)
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        for block in self.decoder:
            x = torch.cat([block(x), skips.pop()], dim=1)
        return torch.tanh(self.final(x))


class Discriminator(nn.Module):
    """Lab (N, 3, 32, 32) -> logit (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            _down(3, 64, stride=1, normalize=False),
            _down(64, 128),
            _down(128, 256),
            _down(256, 512),
            nn.Conv2d(512, 1, 4),
        )

    def forward(self, lab: Tensor) -> Tensor:
        """Evaluates images."""
        return self.blocks(_enlarge(lab)).flatten(1)


class _Training:
    """Both networks and their optimizers, whose learning rates fall with every step."""

    def __init__(self, *, channels_last: bool, fused: bool) -> None:
        self.networks: dict[str, nn.Module] = {
            "generator": Generator(),
            "discriminator": Discriminator(),
        }
        for network in self.networks.values():
            for parameter in network.parameters():
                if parameter.ndim == 4:
                    nn.init.normal_(parameter, 0.0, 0.02)
            if channels_last:
                network.to(memory_format=torch.channels_last)
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), betas=(0.5, 0.999), fused=fused)
            for name, network in self.networks.items()
        }
        self.steps = 0

    def count(self) -> None:
        self.steps += 1
        for name, optimizer in self.optimizers.items():
            rate = RATES[name] * 0.1 ** (self.steps / DECAY_STEPS)
            optimizer.param_groups[0]["lr"] = max(rate, 1e-6)


def original_step() -> Step:
    """The original's loop: float32, losses and accuracies fetched as soon as they are there."""
    training = _Training(channels_last=False, fused=False)
    generator, discriminator = training.networks.values()
    generator_optimizer, discriminator_optimizer = training.optimizers.values()
    cross_entropy = functional.binary_cross_entropy
    sums = [0.0] * 6

    def step(lab: Tensor) -> None:
        lightness, ab = lab[:, :1], lab[:, 1:]
        ones, zeros = torch.ones(len(lab), 1), torch.zeros(len(lab), 1)
        training.count()

        generator_optimizer.zero_grad()
        predicted_ab = generator(lightness)
        fake = torch.cat([lightness, predicted_ab], dim=1)
        adversarial_loss = cross_entropy(torch.sigmoid(discriminator(fake)), ones)
        l1_loss = functional.l1_loss(predicted_ab, ab)
        ((1 - L1_WEIGHT) * adversarial_loss + L1_WEIGHT * l1_loss).backward()
        generator_optimizer.step()
        sums[0] += adversarial_loss.item()
        sums[1] += l1_loss.item()

        discriminator_optimizer.zero_grad()
        real_says = torch.sigmoid(discriminator(lab))
        fake_says = torch.sigmoid(discriminator(fake.detach()))
        real_loss = cross_entropy(real_says, ones * REAL_TARGET)
        fake_loss = cross_entropy(fake_says, zeros)
        (real_loss + fake_loss).backward()
        discriminator_optimizer.step()
        sums[2] += real_loss.item()
        sums[3] += fake_loss.item()
        sums[4] += (real_says.detach().numpy() > 0.5).mean()
        sums[5] += (fake_says.detach().numpy() <= 0.5).mean()

    return step


def best_step() -> Step:
    """The same update with all that PyTorch offers on a CPU.

    bfloat16 by autocast, channels last, fused Adam, no gradient that is not used, nothing fetched
    before the epoch's end. (`torch.compile` made it 5 % slower.)
    """
    training = _Training(channels_last=True, fused=True)
    generator, discriminator = training.networks.values()
    generator_optimizer, discriminator_optimizer = training.optimizers.values()
    softplus = functional.softplus
    sums = torch.zeros(6)

    def step(lab: Tensor) -> None:
        lab = lab.contiguous(memory_format=torch.channels_last)
        lightness, ab = lab[:, :1], lab[:, 1:]
        training.count()

        discriminator.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16):
            predicted_ab = generator(lightness).float()
            fake = torch.cat([lightness, predicted_ab], dim=1)
            fake_logits = discriminator(fake).float()
        adversarial_loss = softplus(-fake_logits).mean()
        l1_loss = functional.l1_loss(predicted_ab, ab)
        generator_optimizer.zero_grad()
        ((1 - L1_WEIGHT) * adversarial_loss + L1_WEIGHT * l1_loss).backward()
        generator_optimizer.step()

        discriminator.requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16):
            real_logits = discriminator(lab).float()
            fake_logits = discriminator(fake.detach()).float()
        real_loss = (softplus(real_logits) - REAL_TARGET * real_logits).mean()
        fake_loss = softplus(fake_logits).mean()
        discriminator_optimizer.zero_grad()
        (real_loss + fake_loss).backward()
        discriminator_optimizer.step()

        accuracies = (real_logits > 0).float().mean(), (fake_logits <= 0).float().mean()
        figures = (adversarial_loss, l1_loss, real_loss, fake_loss, *accuracies)
        sums.add_(torch.stack(figures).detach())

    return step


def training_epoch_of(make_step: Callable[[], Step]) -> Callable[[], None]:
    """An epoch of such steps, on the images of `training_step.training_epoch`."""
    step = make_step()
    images = random_images(BATCHES * BATCH_SIZE)
    lab = np.concatenate([part.numpy() for part in normalize(images)], axis=-1)
    batches = torch.from_numpy(lab.transpose(0, 3, 1, 2).copy()).split(BATCH_SIZE)

    def epoch() -> None:
        for batch in batches:
            step(batch)

    return epoch
