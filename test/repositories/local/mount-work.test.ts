import { describe, expect, it } from 'vitest';
import type { Caller } from '../../../src/ports/repository.js';
import type { MetadataStore } from '../../../src/ports/metadata/metadata.js';
import type { ImageKey } from '../../../src/ports/metadata/images.js';
import type { PageRequest } from '../../../src/ports/pages.js';
import type { Reach } from '../../../src/ports/access/access.js';
import {
  repositoryConfigSchema,
  type LocalRepositoryConfig,
} from '../../../src/protocol/settings/repository-config.js';
import { LocalWriter } from '../../../src/repositories/local/local-writer.js';
import type { LocalParts } from '../../../src/repositories/local/local-parts.js';
import { digestOf } from '../../../src/protocol/digest.js';

const config = repositoryConfigSchema.parse({ name: 'own', type: 'local' }) as LocalRepositoryConfig;

/** A blob that 400 images of each repository link, an anonymous mount of it, and what it asks. */
async function mount(repositories: readonly string[], reaches: Readonly<Record<string, Reach>>) {
  const linking = repositories.flatMap((repository) =>
    Array.from({ length: 400 }, (_, i) => ({ repository, image: `app-${String(i).padStart(3, '0')}` })),
  );
  const asked = { read: 0, rules: 0, images: 0, permits: [] as ImageKey[] };
  const metadata = {
    imagesLinking: (_digest: string, { limit, after = '' }: PageRequest) => {
      const rest = linking.filter(({ repository, image }) => `${repository}/${image}` > after);
      asked.read += Math.min(limit, rest.length);
      return Promise.resolve({ items: rest.slice(0, limit), more: rest.length > limit });
    },
    link: () => Promise.resolve(undefined),
  } as unknown as MetadataStore;
  const caller = {
    hasLeft: () => false,
    reach: (repository: string) => {
      asked.rules++;
      const reach = reaches[repository] ?? { prefixes: [], has: () => false };
      return Promise.resolve({ ...reach, has: (image: string) => (asked.images++, reach.has(image)) });
    },
    mayMountFrom: (at: ImageKey) => (asked.permits.push(at), Promise.resolve(true)),
  } as unknown as Caller;
  const writer = new LocalWriter(config, { metadata } as unknown as LocalParts);
  await writer.mountBlob(caller, 'image', digestOf(Buffer.from('layer')));
  return asked;
}

describe('a mount without a source', () => {
  it('skips repositories that the caller cannot pull from, and checks the rules for images of the others', async () => {
    const reaches = { e: { prefixes: [''], has: () => true } };
    const asked = await mount(['a', 'b', 'c', 'd', 'e'], reaches);
    expect(asked.permits).toEqual([{ repository: 'e', image: 'app-000' }]);
    // Before: 1000 images, all of a, b and half of c, each matched with every rule; and the one in e was not found.
    expect([asked.read, asked.rules]).toEqual([500, 5]);
  });

  it('examines at most 1,000 images', async () => {
    const none = { prefixes: ['x'], has: () => false };
    const asked = await mount(['a', 'b', 'c', 'd', 'e'], { a: none, b: none, c: none, d: none, e: none });
    expect([asked.permits, asked.read, asked.images]).toEqual([[], 1000, 1000]);
  });
});
