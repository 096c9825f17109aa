"""The feature `morphology`: named shape descriptors of three chromatin masks of the central 64 px."""

from __future__ import annotations

import numpy as np

from mitotype.core.schema import MPP_UM
from mitotype.features import Descriptor, DescriptorValues, Feature, features
from mitotype.features.levels import grain_descriptors, half_level_descriptors
from mitotype.features.masks import MASKS, PX, chromatin_channels, segment_chromatin
from mitotype.features.outline import outline_descriptors, size_descriptors, thickness_descriptors
from mitotype.features.symmetry import symmetry_descriptors

CHUNK = 128  # patches at a time: few enough for the processor's cache

# trait: (unit, meaning, phrase for high, phrase for low), after "the chromatin"
TRAITS: dict[str, tuple[str, str, str, str]] = {
    "area": ("µm²", "area of the chromatin", "is larger", "is smaller"),
    "pieces": ("count", "pieces of at least 0.75 µm² near the centre", "lies in more pieces", "lies in fewer pieces"),
    "main_share": ("share", "main piece's share of the area",
                   "is more concentrated in one piece", "is less concentrated in one piece"),
    "second_share": ("ratio", "second piece's area to the main one's",
                     "has a larger second piece", "has a smaller second piece"),
    "scatter": ("nat", "entropy of the pieces' shares",
                "is spread more evenly over pieces", "is spread less evenly over pieces"),
    "satellites": ("count", "pieces of under a quarter of the main one", "has more satellites", "has fewer satellites"),
    "satellite_share": ("share", "satellites' share of the area", "has larger satellites", "has smaller satellites"),
    "satellite_distance": ("µm", "distance of the other pieces from the main one, by area over all area",
                           "has more, or more distant, other pieces", "has fewer, or nearer, other pieces"),
    "off_centre": ("µm", "distance of the main piece from the centre",
                   "lies further off centre", "lies closer to the centre"),
    "cut_1": ("share", "area on the frame's outermost pixel",
              "runs more into the frame's edge", "runs less into the frame's edge"),
    "cut_3": ("share", "area within 3 px of the frame's edge",
              "reaches the frame's edge more", "reaches the frame's edge less"),
    "solidity": ("ratio", "main piece's area to its hull's",
                 "has a fuller main piece", "has a more indented main piece"),
    "solidity_all": ("ratio", "area to the hull's of all pieces", "fills its hull more", "fills its hull less"),
    "eccentricity": ("0–1", "eccentricity of the main piece's ellipse",
                     "has a more elongated main piece", "has a rounder main piece"),
    "width_to_length": ("ratio", "minor to major axis of all pieces",
                        "is wider for its length", "is narrower for its length"),
    "length": ("µm", "major axis of all pieces' ellipse", "is longer", "is shorter"),
    "width": ("µm", "minor axis of all pieces' ellipse", "is wider", "is narrower"),
    "longest": ("µm", "largest width of the main piece", "has a longer main piece", "has a shorter main piece"),
    "narrowest": ("µm", "smallest width of the main piece", "has a broader main piece", "has a slimmer main piece"),
    "longest_all": ("µm", "largest width of all pieces together", "reaches further across", "reaches less far across"),
    "circularity": ("ratio", "4π area / perimeter² of the main piece",
                    "has a smoother, rounder main piece", "has a more ragged main piece"),
    "convexity": ("ratio", "hull's length to the main piece's perimeter",
                  "has a more even border", "has a more jagged border"),
    "roughness": ("ratio", "perimeter of all pieces to that of a disc of the same area",
                  "has more border for its area", "has less border for its area"),
    "euler": ("count", "Euler number of the main piece (1 minus its holes)",
              "has fewer holes in the main piece", "has more holes in the main piece"),
    "holes": ("count", "holes of all pieces", "has more holes", "has fewer holes"),
    "mean_radius": ("ratio", "mean distance from the centroid to √area",
                    "lies further from its centroid", "lies closer about its centroid"),
    "spread": ("ratio", "variation of the distance from the centroid",
               "varies more in distance from its centroid", "varies less in distance from its centroid"),
    "reach": ("ratio", "largest distance from the centroid to √area",
              "reaches further out for its size", "reaches less far out for its size"),
    "hu1": ("1", "Hu's first invariant: spread", "is more spread out", "is more compact"),
    "hu2": ("1", "Hu's second invariant: elongation", "is more elongated", "is less elongated"),
    "hu3": ("1", "Hu's third invariant: three-fold skewness", "is more three-cornered", "is less three-cornered"),
    "hu4": ("1", "Hu's fourth invariant: skewness", "is more lopsided in outline", "is less lopsided in outline"),
    "thickest": ("µm", "diameter of the largest disc inside",
                 "is thicker at its thickest", "is thinner at its thickest"),
    "thickness": ("µm", "mean thickness along the skeleton", "is thicker", "is thinner"),
    "thickness_varies": ("ratio", "variation of the thickness along the skeleton",
                         "varies more in thickness", "varies less in thickness"),
    "skeleton": ("µm", "length of the skeleton", "has a longer skeleton", "has a shorter skeleton"),
    "skeleton_per_size": ("ratio", "skeleton to √area", "is more thread-like", "is less thread-like"),
    "ends": ("count", "end points of the skeleton", "has more arms", "has fewer arms"),
    "branchings": ("count", "branching pixels of the skeleton", "branches more", "branches less"),
    "opened_2": ("share", "area after an opening by a disc of 2 px",
                 "has fewer thin parts", "has more thin parts"),
    "opened_3": ("share", "area after an opening by a disc of 3 px",
                 "has fewer slender parts", "has more slender parts"),
    "closed_2": ("ratio", "area after a closing by a disc of 2 px", "has more clefts", "has fewer clefts"),
    "closed_3": ("ratio", "area after a closing by a disc of 3 px", "has more wide clefts", "has fewer wide clefts"),
    "symmetry": ("0–1", "overlap of the mask with itself turned by 180° about its centroid",
                 "is more point-symmetric", "is less point-symmetric"),
    "density_symmetry": ("0–1", "the same for the density",
                         "is more point-symmetric in its darkness", "is less point-symmetric in its darkness"),
    "main_symmetry": ("0–1", "the same for the main piece",
                      "has a more point-symmetric main piece", "has a less point-symmetric main piece"),
    "wave1": ("share", "angular wave 1 of the density", "is more lopsided", "is less lopsided"),
    "wave2": ("share", "angular wave 2 of the density",
              "is more like a bar or two plates", "is less like a bar or two plates"),
    "wave3": ("share", "angular wave 3 of the density", "is more tripolar", "is less tripolar"),
    "wave4": ("share", "angular wave 4 of the density", "is more cross-shaped", "is less cross-shaped"),
    "mirror": ("0–1", "overlap of the density with its best mirror image",
               "is more mirror-symmetric", "is less mirror-symmetric"),
    "mirror_both": ("0–1", "mean overlap over the best two crossed mirrors",
                    "is more symmetric about two crossed axes", "is less symmetric about two crossed axes"),
    **{
        f"band{band}": ("0–1", f"unevenness around the band {1.5 * (band - 1):g}–{1.5 * band:g} µm from the centroid",
                        f"is more uneven {1.5 * (band - 1):g}–{1.5 * band:g} µm out",
                        f"is more even {1.5 * (band - 1):g}–{1.5 * band:g} µm out")
        for band in (1, 2, 3, 4)
    },
    "bend": ("1", "bend of the density's long axis", "is more bent", "is straighter"),
    "wedge": ("1", "change of width along the long axis", "is more wedge-shaped", "is less wedge-shaped"),
    "corners": ("1", "joint fourth moment of both axes", "has more at its corners", "has less at its corners"),
    **{
        f"{trait}_{axis}": ("1", f"{meaning} along the {axis} axis",
                            f"{high} along its {axis} axis", f"{low} along its {axis} axis")
        for axis in ("long", "short")
        for trait, meaning, high, low in (
            ("skew", "skewness of the density", "is more lopsided", "is more balanced"),
            ("tails", "fourth moment of the density", "has longer tails", "has shorter tails"),
            ("waist", "share of the density near the middle", "is denser at the middle", "is less dense at the middle"),
        )
    },
    "half_pieces": ("count", "pieces above half of the darkness", "has more dark cores", "has fewer dark cores"),
    "half_area": ("ratio", "area above half of the darkness to the mask's",
                  "is darker throughout", "is dark in a smaller part"),
    "half_symmetry": ("0–1", "point symmetry above half of the darkness",
                      "has more point-symmetric dark cores", "has less point-symmetric dark cores"),
    "unevenness": ("ratio", "variation of darkness to the contrast", "is more unevenly dark", "is more evenly dark"),
    "grains_15": ("count", "grains of 15 % contrast inside", "is grainier", "is less grainy"),
    "grains_25": ("count", "grains of 25 % contrast inside", "has more strong grains", "has fewer strong grains"),
    "loose_grains_15": ("count", "grains of 15 % contrast around it",
                        "has more loose grains around it", "has fewer loose grains around it"),
    "loose_grains_25": ("count", "grains of 25 % contrast around it",
                        "has more loose fragments around it", "has fewer loose fragments around it"),
}  # fmt: skip

DESCRIPTORS = tuple(
    Descriptor(f"{mask}_{trait}", unit, meaning, high, low)
    for mask in MASKS
    for trait, (unit, meaning, high, low) in TRAITS.items()
)
NAMES = tuple(descriptor.name for descriptor in DESCRIPTORS)
GROUPS = (
    size_descriptors, outline_descriptors, thickness_descriptors,
    symmetry_descriptors, half_level_descriptors, grain_descriptors,
)  # fmt: skip


def morphology(image_B3HW: np.ndarray) -> DescriptorValues:
    """Return the shape descriptors of uint8 patches (at 0.25 µm/px, the figure at the centre, at least 64 px).

    The descriptors of a mask without chromatin near the centre are nan. The numbers of a patch do not depend on the other
    patches of the batch.

    Raises a ValueError for images of another dtype or size.
    """
    value_BD = np.empty((len(image_B3HW), len(NAMES)), np.float32)
    for start in range(0, len(image_B3HW), CHUNK):
        rows = slice(start, start + CHUNK)
        columns = []
        for channel_BHW in chromatin_channels(np.asarray(image_B3HW[rows])).values():
            chromatin = segment_chromatin(channel_BHW)
            values = {trait: value_B for group in GROUPS for trait, value_B in group(chromatin).items()}
            columns += [np.where(chromatin.empty_B, np.nan, values[trait]) for trait in TRAITS]
        value_BD[rows] = np.stack(columns, axis=1)
    return DescriptorValues(NAMES, value_BD)


features.add("morphology")(
    Feature(
        title="Shape of the chromatin",
        meaning="three chromatin masks (Otsu in two red-like channels and in haematoxylin) and their shapes",
        needs_px=PX,
        mpp_um=MPP_UM,
        masks={mask: f"{source}, smoothed by {sigma:g} px" for mask, (source, sigma) in MASKS.items()},
        descriptors=DESCRIPTORS,
        compute=morphology,
    )
)
