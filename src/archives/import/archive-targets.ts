import { archiveInvalid } from '../../protocol/manifests/archive.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { parseName, parseTag, type Tag } from '../../protocol/names.js';
import { splitArchiveName } from '../archive-names.js';
import type { PlannedImage } from './archive-plan.js';

/** Maximum number of names of all images together. `docker save` writes a few per image. */
const maxNames = 10_000;

/** The destination of an image in an archive. */
export interface ImageTarget extends Omit<PlannedImage, 'names'> {
  readonly image: string;
  readonly tags: ReadonlySet<Tag>;
}

/** The destination that the request names. */
export interface RequestedTarget {
  readonly repository: string;
  readonly image?: string | undefined;
  readonly tags: readonly Tag[];
}

/**
 * Returns the destinations of all images: as requested, or else as named in the archive. An image with several names goes to
 * each of them once.
 * @throws RegistryError OPTIONS_INVALID if neither names an image, or the request does not fit the archive; ARCHIVE_INVALID if
 * two manifests would get the same tag; NAME_INVALID and TAG_INVALID for a name in the archive that the request does not replace;
 * SIZE_INVALID 413 for too many names.
 */
export function chooseTargets(images: readonly PlannedImage[], requested: RequestedTarget): readonly ImageTarget[] {
  const targets = new Map<string, ImageTarget & { tags: Set<Tag> }>();
  const owners = new Map<string, Digest>();
  if (images.reduce((sum, { names }) => sum + names.length, 0) > maxNames) {
    throw new RegistryError('SIZE_INVALID', { status: 413, message: `the archive has more than ${maxNames} names` });
  }
  if (requested.tags.length > 0 && new Set(images.map(({ top }) => top.manifest.digest)).size > 1) {
    throw optionInvalid('tag', 'applies to one image only, but the archive has several');
  }
  for (const { names, top, parts } of images) {
    const { digest } = top.manifest;
    for (const { image, tags } of placesOf(names, requested)) {
      const key = `${image}@${digest}`;
      const target = targets.get(key) ?? { image, tags: new Set(), top, parts };
      targets.set(key, target);
      for (const tag of tags) {
        if ((owners.get(`${image}:${tag}`) ?? digest) !== digest) {
          throw archiveInvalid(`two manifests in the archive have the tag "${image}:${tag}"`, { image, tag });
        }
        owners.set(`${image}:${tag}`, digest);
        target.tags.add(tag);
      }
    }
  }
  return [...targets.values()];
}

function placesOf(
  names: readonly string[],
  requested: RequestedTarget,
): readonly { image: string; tags: readonly Tag[] }[] {
  const named = names.length === 0 ? [{}] : names.map((name) => splitArchiveName(name, requested.repository));
  return named.map((name) => {
    const image = requested.image ?? name.image;
    if (image === undefined) throw optionInvalid('image', 'is required, because the archive does not name its image');
    parseName(`${requested.repository}/${image}`);
    if (requested.tags.length > 0) return { image, tags: requested.tags };
    return { image, tags: name.tag === undefined ? [] : [parseTag(name.tag)] };
  });
}

function optionInvalid(path: string, problem: string): RegistryError {
  return new RegistryError('OPTIONS_INVALID', { message: `${path} ${problem}`, detail: [{ path, problem }] });
}
