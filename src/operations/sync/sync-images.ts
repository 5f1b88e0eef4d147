/**
 * Copies images of another registry to a local repository. This file goes through the images and tags of one sync,
 * `sync-manifests.ts` and `sync-blobs.ts` copy them, `sync-book.ts` keeps the settings, `sync-job.ts` and `sync-schedule.ts`
 * run them. Imported by the composition root; imports ports/, protocol/ and util/.
 */
import { tryParseName, type Tag } from '../../protocol/names.js';
import { matchesAny } from '../../protocol/patterns.js';
import { isTagSelected } from '../../protocol/settings/sync-config.js';
import { Semaphore } from '../../util/scheduling/concurrency.js';
import { ManifestCopier } from './sync-manifests.js';
import { describeProblem, foundOrAbsent } from './sync-problem.js';
import type { SyncRunParts } from './sync-run.js';
import { itemsOf, readAll } from '../../util/pages.js';

const imagesAtOnce = 2;
const tagsAtOnce = 4;
const pageSize = 1000;

/** Copies all images of a sync. A failure of one does not stop the others. @throws the reason of the signal. */
export async function copyImages(
  parts: SyncRunParts,
  onProgress: (done: number, total: number) => Promise<void>,
): Promise<void> {
  const images = await chooseImages(parts);
  let done = 0;
  await onProgress(done, images.length);
  await forEach(images, imagesAtOnce, async (image) => {
    parts.signal.throwIfAborted();
    try {
      await copyImage(parts, image);
    } catch (error) {
      parts.signal.throwIfAborted();
      parts.tally.fail({ image, error: describeProblem(error, parts.describeFailure) });
    }
    await onProgress(++done, images.length);
  });
}

/** Returns the images of the sync, in byte order. With `delete`, includes those that only the target has. */
async function chooseImages(parts: SyncRunParts): Promise<readonly string[]> {
  const { config, source, tally } = parts;
  const patterns = config.images.map((pattern) => source.canonicalImage(pattern));
  const chosen = new Set<string>();
  for (const name of patterns.filter((pattern) => !pattern.includes('*'))) {
    if (tryParseName(name) === undefined) tally.fail({ image: name, error: 'this is not the name of an image' });
    else chosen.add(name);
  }
  const wild = patterns.filter((pattern) => pattern.includes('*'));
  if (wild.length > 0) for (const name of await findMatching(parts, wild)) chosen.add(name);
  return [...chosen].sort();
}

async function findMatching(parts: SyncRunParts, patterns: readonly string[]): Promise<readonly string[]> {
  const { config, upstream, tally, describeFailure } = parts;
  const fail = (why: string): void => {
    const error = `${upstream.host} does not list its images (${why}): write their names instead of a pattern`;
    for (const image of patterns) tally.fail({ image, error });
  };
  try {
    const listed = foundOrAbsent(await upstream.listImages([]));
    if (listed === undefined) {
      fail('it has no catalog');
      return [];
    }
    const names = config.delete ? [...listed, ...(await listOwnImages(parts))] : listed;
    return names.filter((name) => matchesAny(patterns, name));
  } catch (error) {
    fail(describeProblem(error, describeFailure));
    return [];
  }
}

async function copyImage(parts: SyncRunParts, image: string): Promise<void> {
  const { config, upstream, tally } = parts;
  const tags = foundOrAbsent(await upstream.listTags(image, []));
  if (tags === undefined && !config.delete) {
    tally.fail({ image, error: `${upstream.host} does not have this image` });
    return;
  }
  tally.add({ images: tags === undefined ? 0 : 1 });
  const present = new Set<string>(tags);
  const copier = new ManifestCopier(parts, image);
  await forEach(
    (tags ?? []).filter((tag) => isTagSelected(config, tag)),
    tagsAtOnce,
    (tag) => copyTag(parts, copier, image, tag, present),
  );
  if (config.delete) await deleteAbsent(parts, image, present);
}

async function copyTag(
  { tally, signal, describeFailure }: SyncRunParts,
  copier: ManifestCopier,
  image: string,
  tag: Tag,
  present: ReadonlySet<string>,
): Promise<void> {
  signal.throwIfAborted();
  try {
    const outcome = await copier.copyTag(tag, present);
    if (outcome !== 'absent') tally.add({ tags: 1, [outcome === 'copied' ? 'copiedTags' : 'unchangedTags']: 1 });
  } catch (error) {
    signal.throwIfAborted();
    tally.add({ tags: 1 });
    tally.fail({ image, tag, error: describeProblem(error, describeFailure) });
  }
}

/** Deletes the selected tags that the complete list of the upstream does not have. */
async function deleteAbsent(parts: SyncRunParts, image: string, present: ReadonlySet<string>): Promise<void> {
  const { config, target, writer, caller, dryRun, tally, signal, describeFailure } = parts;
  const tags = itemsOf(
    (page) => target.listTags(caller, image, page),
    ({ name }) => name,
    { limit: pageSize },
  );
  for await (const { name } of tags) {
    if (present.has(name) || !isTagSelected(config, name)) continue;
    signal.throwIfAborted();
    try {
      if (dryRun || (await writer.deleteTag(caller, image, name))) tally.add({ deletedTags: 1 });
    } catch (error) {
      tally.fail({ image, tag: name, error: describeProblem(error, describeFailure) });
    }
  }
}

async function listOwnImages({ target, caller }: SyncRunParts): Promise<readonly string[]> {
  const images = await readAll(
    (page) => target.listImages(caller, page),
    ({ image }) => image,
    pageSize,
  );
  return images.map(({ image }) => image);
}

/** Runs a task for each item, a limited number at once. Stops at the first failure, and waits for the running tasks. */
async function forEach<T>(items: readonly T[], atOnce: number, task: (item: T) => Promise<void>): Promise<void> {
  const slots = new Semaphore(atOnce);
  let isStopped = false;
  const results = await Promise.allSettled(
    items.map((item) =>
      slots.run(async () => {
        if (isStopped) return;
        await task(item).catch((error: unknown) => {
          isStopped = true;
          throw error;
        });
      }),
    ),
  );
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}
