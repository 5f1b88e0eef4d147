import type { ImagePage, ImagePageRequest, ImageRecord } from '../ports/metadata/images.js';
import type { Reach } from '../ports/access/access.js';
import { takeTurns } from './scheduling/turns.js';

const partSize = 1000;
/** Cost of a search in the index, in images. */
const searchCost = 10;
/** No character of an image name sorts after this one. */
const afterAll = '\x7f';

/** The source of a listing, and its limits. */
export interface ReachListing {
  readonly list: (page: ImagePageRequest) => Promise<ImagePage>;
  /** Number of images that may still be read; decreases during the listing. A search in the index counts as several. */
  readonly budget: { left: number };
  /** Returns whether the client has disconnected. */
  readonly hasLeft: () => boolean;
}

/**
 * Returns a page of the images of a repository that are in reach. Seeks past images that cannot be in reach. Ends
 * early, with `more` and `seenTo`, when the budget is spent or the client has disconnected.
 */
export async function listInReach(
  reach: Reach,
  page: ImagePageRequest,
  { list, budget, hasLeft }: ReachListing,
): Promise<ImagePage> {
  const items: ImageRecord[] = [];
  const turn = takeTurns();
  let seenTo = page.after ?? '';
  let hasSkipped = false;
  for (const own of reach.prefixes) {
    const prefix = overlap(own, page.prefix ?? '');
    const end = `${prefix}${afterAll}`;
    if (prefix === undefined || end <= seenTo) continue;
    for (let more = true; more;) {
      if (budget.left <= 0 || hasLeft()) return { items, more: true, seenTo };
      // Small requests suffice while everything read is in reach.
      const count = hasSkipped ? partSize : page.limit + 1 - items.length;
      const limit = Math.min(count, partSize, budget.left);
      const part = await list({ limit, prefix, ...(seenTo === '' ? {} : { after: seenTo }) });
      budget.left -= searchCost + part.items.length;
      for (const item of part.items) {
        await turn();
        if (!reach.has(item.image)) hasSkipped = true;
        else if (items.length === page.limit) return { items, more: true };
        else items.push(item);
      }
      more = part.more;
      seenTo = part.seenTo ?? part.items.at(-1)?.image ?? seenTo;
      if (part.seenTo !== undefined) return { items, more: true, seenTo };
    }
    seenTo = end;
  }
  return { items, more: false };
}

/** Returns the prefix of all names that begin with both prefixes, or `undefined` when there are none. */
function overlap(a: string, b: string): string | undefined {
  if (a.startsWith(b)) return a;
  return b.startsWith(a) ? b : undefined;
}
