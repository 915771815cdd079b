"""Recognize an action with an exported model; needs only numpy and onnxruntime.

python onnx_predict.py model.onnx joints.npy                 # persons, frames, joints, coordinates, in meters
python onnx_predict.py model.onnx joints.npy --picture 1080 1920      # pixels of an image, height and width
"""

import argparse
import json
import sys

import numpy as np
import onnxruntime


def prepare(joints: np.ndarray, metadata: dict, picture: tuple = ()) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of the file for a recording (persons, frames, joints, coordinates): joints and frames."""
    joints = np.array(joints, np.float32)
    expected = (len(metadata['joints']), metadata['channels'])
    if not metadata['raw']:
        raise ValueError('the input of the file is the output of a custom pipeline, not recorded joints')
    if joints.ndim != 4 or joints.shape[2:] != expected:
        raise ValueError(f'shape {joints.shape}, expected (persons, frames, {expected[0]}, {expected[1]})')
    if not np.isfinite(joints).all():
        raise ValueError('values that are not finite; set missing joints to zero in all coordinates')
    present = (np.abs(joints) > 1e-8).any((2, 3))
    if not 0 < present.any(1).sum() <= metadata['num_person']:
        raise ValueError(f'{present.any(1).sum()} persons, expected 1 to {metadata["num_person"]}')
    check_size(joints, metadata, picture)
    if metadata['drops']:
        main = present.sum(1).argmax()
        joints = joints[:, present.any(0) if metadata['drops'] == 'empty' else present[main]]
    if metadata['pixels']:
        middle = np.array(picture[::-1], np.float32) / 2
        joints[..., :2] = (joints[..., :2] - middle) / middle
    return joints[None], sample(joints.shape[1], **metadata['sampling'])[None]


def check_size(joints: np.ndarray, metadata: dict, picture: tuple) -> None:
    """Refuse another unit than that of the training clips, or meters if their size is not known."""
    if metadata['pixels'] and not picture:
        raise ValueError('joints are in pixels; give the height and width of the image by --picture')
    sizes = joints / (*np.array(picture[::-1]) / 2, 1)[: joints.shape[3]] if metadata['pixels'] else joints
    sizes = sizes[..., :2] if metadata['pixels'] or metadata['flat'] else sizes
    there, parents = joints.any(-1), metadata['parents']
    lengths = np.linalg.norm(sizes - sizes[:, :, parents], axis=-1)[there & there[:, :, parents]]
    length = np.median(lengths[lengths > 0]) if lengths.any() else None
    low, high = (metadata['scale'] / 16, metadata['scale'] * 16) if metadata['scale'] else (0.01, 2)
    if length is not None and not low < length < high:
        raise ValueError(
            f'bones of {length:.3g}, expected {low:.3g} to {high:.3g}; are they in another unit?'
        )


def sample(total: int, length: int = 0, clip_len: int = 0, num_clips: int = 1, seed: int = 0) -> np.ndarray:
    """The frames of the samples: all, repeated up to a length, or uniformly sampled ones."""
    if not clip_len:
        return np.arange(length or total)[None] % total
    random, clips = np.random.RandomState(seed), []
    for i in range(num_clips):
        frames = np.arange(clip_len)
        if total < clip_len:
            frames += i if total < num_clips else i * total // num_clips
        elif total < 2 * clip_len:
            skipped = random.choice(clip_len + 1, total - clip_len, replace=False)
            frames += (skipped[:, None] <= frames).sum(0)
        else:
            bounds = np.arange(clip_len + 1) * total // clip_len
            frames = bounds[:-1] + random.randint(np.diff(bounds))
        clips.append(frames % total)
    return np.stack(clips)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model')
    parser.add_argument('joints')
    parser.add_argument('--picture', type=int, nargs=2, default=(), metavar=('HEIGHT', 'WIDTH'))
    args = parser.parse_args()
    try:
        session = onnxruntime.InferenceSession(args.model)
    except Exception as error:  # onnxruntime's own have no common class
        sys.exit(f'error: {args.model}: {error}')
    # Two entries are text, the others JSON.
    text = session.get_modelmeta().custom_metadata_map
    as_text = ('layout', 'stream')
    metadata = {key: value if key in as_text else json.loads(value) for key, value in text.items()}
    try:
        joints, frames = prepare(np.load(args.joints), metadata, args.picture)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {args.joints}: {error}')
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, dict(joints=joints, frames=frames)), strict=True))
    scores = found['fused_score'][0]
    for i in scores.argsort()[::-1][:5]:
        print(f'{100 * scores[i]:5.1f} %  {metadata["classes"][i]}')
    if 'joint_attention' in found:
        most = found['joint_attention'][0].argsort()[::-1][:3]
        print('attended to', ', '.join(metadata['joints'][i] for i in most))


if __name__ == '__main__':
    main()
