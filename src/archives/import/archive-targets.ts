import { archiveInvalid } from '../../protocol/archive.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { parseName, type Tag } from '../../protocol/names.js';
import { readArchiveName } from '../archive-names.js';
import type { PlannedImage } from './archive-plan.js';

/** Of all images together; the names of one `docker save` are a few for each image. */
const maxNames = 10_000;

/** Where one image of an archive goes. */
export interface ImageTarget extends Omit<PlannedImage, 'names'> {
  readonly image: string;
  readonly tags: ReadonlySet<Tag>;
}

export interface AskedTarget {
  readonly repository: string;
  readonly image?: string | undefined;
  readonly tags: readonly Tag[];
}

/**
 * Where each image goes: as asked, else as the archive says. An image under several names goes to each of them once.
 * @throws RegistryError OPTIONS_INVALID where nobody says, or asks for what does not fit; ARCHIVE_INVALID when two
 * manifests would have one tag; SIZE_INVALID 413 for too many names.
 */
export function chooseTargets(images: readonly PlannedImage[], asked: AskedTarget): readonly ImageTarget[] {
  const targets = new Map<string, ImageTarget & { tags: Set<Tag> }>();
  const owners = new Map<string, Digest>();
  if (images.reduce((sum, { names }) => sum + names.length, 0) > maxNames) {
    throw new RegistryError('SIZE_INVALID', { status: 413, message: `the archive has more than ${maxNames} names` });
  }
  if (asked.tags.length > 0 && new Set(images.map(({ top }) => top.manifest.digest)).size > 1) {
    throw optionInvalid('tag', 'fits one image only, and the archive has several');
  }
  for (const { names, top, parts } of images) {
    const { digest } = top.manifest;
    for (const { image, tags } of placesOf(names, asked)) {
      const key = `${image}@${digest}`;
      const target = targets.get(key) ?? { image, tags: new Set(), top, parts };
      targets.set(key, target);
      for (const tag of tags) {
        if ((owners.get(`${image}:${tag}`) ?? digest) !== digest) {
          throw archiveInvalid(`two manifests in the archive would have the tag ${image}:${tag}`, { image, tag });
        }
        owners.set(`${image}:${tag}`, digest);
        target.tags.add(tag);
      }
    }
  }
  return [...targets.values()];
}

function placesOf(names: readonly string[], asked: AskedTarget): readonly { image: string; tags: readonly Tag[] }[] {
  const named = names.length === 0 ? [{}] : names.map((name) => readArchiveName(name, asked.repository));
  return named.map((name) => {
    const image = asked.image ?? name.image;
    if (image === undefined) throw optionInvalid('image', 'is needed: the archive does not name its image');
    parseName(`${asked.repository}/${image}`);
    const own = name.tag === undefined ? [] : [name.tag];
    return { image, tags: asked.tags.length > 0 ? asked.tags : own };
  });
}

function optionInvalid(path: string, problem: string): RegistryError {
  return new RegistryError('OPTIONS_INVALID', { message: `${path} ${problem}`, detail: [{ path, problem }] });
}
