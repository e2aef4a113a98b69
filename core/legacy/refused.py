"""Files that are often taken for weights that could be imported, and why they cannot be."""

from .release import Release, refuse

ENCODERS = tuple(f"stage1.encoder.enc{i}.conv.conv.weight" for i in (1, 3, 6))


def _refused(title: str, signature: tuple[str, ...], reason: str) -> Release:
    return Release(
        title=title, source="", paper="", terms="", signature=signature, plan=refuse(reason)
    )


MMAGIC = (
    "mmagic's DeepFillv2, which is another network than the official one: reflected borders, "
    "a wider second stage that also sees the mask, gated last layers, and another attention; its "
    "weights fit nothing here; take the official checkpoint or nipponjo's"
)
CLASSIFIER = (
    "a network that classifies pictures (ResNet or VGG, as NVIDIA's pdresnet and pdvgg with "
    "partial convolutions as padding); it fills no holes; give a U-Net, with layers enc_1 to dec_1"
)
RESNET = ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "fc.weight")
VGG = ("features.0.weight", "classifier.0.weight", "classifier.6.weight")
HALF_GAN = "a discriminator, which only judges pictures; give the file of the generator"

REFUSED = (
    _refused("mmagic", ENCODERS, MMAGIC),
    _refused("mmagic", tuple(f"generator.{name}" for name in ENCODERS), MMAGIC),
    _refused("ResNet", RESNET, CLASSIFIER),
    _refused("VGG", VGG, CLASSIFIER),
    _refused("SPADE", ("discriminator_0.model0.0.weight",), HALF_GAN),
    _refused("SN-PatchGAN", tuple(f"conv{i}.conv_sn.weight" for i in (1, 2, 3)), HALF_GAN),
    _refused(
        "SPADE's encoder",
        ("fc_mu.weight", "fc_var.weight", "layer1.0.weight_orig"),
        "the encoder of SPADE, which makes no pictures; give the generator (latest_net_G.pth), "
        "and it is found beside that, or by --encoder",
    ),
)
