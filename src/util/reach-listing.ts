import type { ImagePage, ImagePageRequest, ImageRecord } from '../ports/images.js';
import type { Reach } from '../ports/access.js';
import { takeTurns } from './turns.js';

const partSize = 1000;
/** What a search in the index costs, in images. */
const searchCost = 10;
/** No name of an image has a character that comes after this one. */
const afterAll = '\x7f';

/** What listing images in a reach asks, and how much it may look at. */
export interface ReachListing {
  readonly list: (page: ImagePageRequest) => Promise<ImagePage>;
  /** How many images may still be looked at; counted down. A search in the index counts as several. */
  readonly budget: { left: number };
  readonly hasLeft: () => boolean;
}

/**
 * Lists the images of a repository that are in reach, a page of them. What cannot be in reach is skipped in the index, not
 * read. Ends early, with `more` and `seenTo`, when the budget is spent or nobody waits for it any more.
 */
export async function listInReach(
  reach: Reach,
  page: ImagePageRequest,
  { list, budget, hasLeft }: ReachListing,
): Promise<ImagePage> {
  const items: ImageRecord[] = [];
  const turn = takeTurns();
  let seenTo = page.after ?? '';
  let isThinned = false;
  for (const own of reach.prefixes) {
    const prefix = overlap(own, page.prefix ?? '');
    const end = `${prefix}${afterAll}`;
    if (prefix === undefined || end <= seenTo) continue;
    for (let more = true; more;) {
      if (budget.left <= 0 || hasLeft()) return { items, more: true, seenTo };
      // Little is asked for as long as nothing was left out.
      const wanted = isThinned ? partSize : page.limit + 1 - items.length;
      const limit = Math.min(wanted, partSize, budget.left);
      const part = await list({ limit, prefix, ...(seenTo === '' ? {} : { after: seenTo }) });
      budget.left -= searchCost + part.items.length;
      for (const item of part.items) {
        await turn();
        if (!reach.has(item.image)) isThinned = true;
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

/** The names that begin with both. */
function overlap(a: string, b: string): string | undefined {
  if (a.startsWith(b)) return a;
  return b.startsWith(a) ? b : undefined;
}
