import path from 'node:path';
import type {
  MigrationProblem,
  SourceFault,
  SourceFile,
  SourceImage,
  SourceListing,
  SourceMove,
  SourceRegistry,
} from '../../ports/operations/migration.js';
import { algorithmOf, algorithms, hexOf, isDigest, type Digest } from '../../protocol/digest.js';
import { isTag, type Tag } from '../../protocol/names.js';
import { describe, isFolder, mapFew, unreadable, type ForeignFolder } from './foreign-file.js';
import { walkNames } from './walk-names.js';

/** A link file holds one digest. */
const maxLinkBytes = 1024;

/** Where a link file leads. */
interface Link {
  readonly digest: Digest;
  readonly at: number;
}

type Faulty = SourceFault & { readonly digest?: undefined };
type Problem = Omit<MigrationProblem, 'image'>;

/**
 * Opens `docker/registry/v2` of CNCF distribution 2 and 3:
 *
 *     repositories/<image>/_manifests/revisions/<algorithm>/<hex>/link           a manifest; no link: it was deleted
 *     repositories/<image>/_manifests/tags/<tag>/current/link                    the digest of a tag
 *     repositories/<image>/_manifests/tags/<tag>/index/<algorithm>/<hex>/link    a digest that the tag has or had
 *     repositories/<image>/_layers/<algorithm>/<hex>/link                        a blob that the image shows
 *     blobs/<algorithm>/<first 2 hex digits>/<hex>/data                          the bytes of blobs and manifests
 */
export function openDistribution(root: string, files: ForeignFolder): SourceRegistry {
  return {
    format: 'distribution',
    images: async function* () {
      const images = walkNames(files, path.join(root, 'repositories'), hasManifests);
      for await (const { name, folder } of images) yield new DistributionImage(files, root, name, folder);
    },
  };
}

function hasManifests(folder: string): Promise<boolean> {
  return isFolder(path.join(folder, '_manifests'));
}

class DistributionImage implements SourceImage {
  readonly name: string;
  readonly #files: ForeignFolder;
  readonly #root: string;
  readonly #folder: string;

  constructor(files: ForeignFolder, root: string, name: string, folder: string) {
    this.#files = files;
    this.#root = root;
    this.name = name;
    this.#folder = folder;
  }

  async list(): Promise<SourceListing> {
    const problems: Problem[] = [];
    const manifests = await this.#listRevisions(problems);
    const tags: SourceListing['tags'][number][] = [];
    const found = await mapFew(await this.#files.listFolders(this.#tagsFolder), async (tag) => {
      return [tag, await readLink(this.#files, path.join(this.#tagsFolder, tag, 'current', 'link'))] as const;
    });
    for (const [tag, link] of found) {
      if (!isTag(tag)) {
        problems.push({ problem: 'invalid-tag', message: 'the tag is invalid', tags: [tag] });
      } else if (link?.digest === undefined) {
        problems.push({ ...(link ?? brokenLink('the tag has no current/link')), tags: [tag] });
      } else {
        tags.push({ tag, ...link });
      }
    }
    return { manifests, tags, problems };
  }

  async #listRevisions(problems: Problem[]): Promise<Link[]> {
    const revisions: Link[] = [];
    const digests = await listDigests(this.#files, path.join(this.#folder, '_manifests', 'revisions'));
    const links = await mapFew(digests, async ({ digest, folder }) => {
      return [digest, await readLinkTo(this.#files, digest, path.join(folder, 'link'))] as const;
    });
    for (const [digest, link] of links) {
      if (link === undefined) continue;
      if (link.digest === undefined) problems.push({ ...link, tags: [], manifest: digest });
      else revisions.push(link);
    }
    return revisions;
  }

  async findManifest(digest: Digest): Promise<SourceFile | SourceFault> {
    return (await this.#files.findFile(this.#dataFile(digest))) ?? missing('missing-manifest', 'manifest', digest);
  }

  async findBlob(digest: Digest): Promise<SourceFile | SourceFault | undefined> {
    const file = path.join(this.#folder, '_layers', algorithmOf(digest), hexOf(digest), 'link');
    const link = await readLinkTo(this.#files, digest, file);
    if (link?.digest === undefined) return link;
    return (await this.#files.findFile(this.#dataFile(digest))) ?? missing('missing-blob', 'blob', digest);
  }

  async movesOf(tag: Tag): Promise<SourceMove[]> {
    const digests = await listDigests(this.#files, path.join(this.#tagsFolder, tag, 'index'));
    const links = await mapFew(digests, ({ digest, folder }) =>
      readLinkTo(this.#files, digest, path.join(folder, 'link')),
    );
    const current = await readLink(this.#files, path.join(this.#tagsFolder, tag, 'current', 'link'));
    const moves = links.flatMap((link) => (link?.digest === undefined ? [] : [link]));
    // Two moves within the resolution of the file system: the current digest was the last one.
    const order = (move: SourceMove): number => (move.digest === current?.digest ? 1 : 0);
    return moves.sort((a, b) => order(a) - order(b) || a.at - b.at);
  }

  get #tagsFolder(): string {
    return path.join(this.#folder, '_manifests', 'tags');
  }

  #dataFile(digest: Digest): string {
    const hex = hexOf(digest);
    return path.join(this.#root, 'blobs', algorithmOf(digest), hex.slice(0, 2), hex, 'data');
  }
}

/** Returns the digests that name the folders `<algorithm>/<hex>` in a folder. Skips other names. */
async function listDigests(files: ForeignFolder, root: string): Promise<{ digest: Digest; folder: string }[]> {
  const found: { digest: Digest; folder: string }[] = [];
  for (const algorithm of algorithms) {
    for (const hex of await files.listFolders(path.join(root, algorithm))) {
      const digest = `${algorithm}:${hex}`;
      if (isDigest(digest)) found.push({ digest, folder: path.join(root, algorithm, hex) });
    }
  }
  return found;
}

/** Like `readLink`, for a link whose folder has the name of its digest. */
async function readLinkTo(files: ForeignFolder, digest: Digest, file: string): Promise<Link | Faulty | undefined> {
  const link = await readLink(files, file);
  if (link?.digest === undefined || link.digest === digest) return link;
  return brokenLink(`${file} names ${link.digest}`);
}

/** Reads a link file; `undefined` if it does not exist. A crash of the old registry may leave an empty one. */
async function readLink(files: ForeignFolder, file: string): Promise<Link | Faulty | undefined> {
  try {
    const found = await files.readSmallFile(file, maxLinkBytes);
    if (found === undefined) return undefined;
    const digest = found.text.trim();
    if (isDigest(digest)) return { digest, at: found.at };
    return brokenLink(digest === '' ? `${file} is empty` : `${file} does not name a digest`);
  } catch (error) {
    return unreadable(describe(error));
  }
}

function brokenLink(message: string): Faulty {
  return { problem: 'broken-link', message };
}

function missing(problem: 'missing-manifest' | 'missing-blob', what: string, digest: Digest): SourceFault {
  return { problem, message: `the folder does not have the bytes of the ${what} ${digest}` };
}
