import { describe, expect, it } from 'vitest';
import { RuleSet } from '../../src/access/rules/rules.js';
import { createListCatalog } from '../../src/http/handlers/distribution/discovery.js';
import { anonymous } from '../../src/util/anonymous.js';
import type { Caller, Repository, RepositoryDirectory } from '../../src/ports/repository.js';
import type { ImagePage, ImagePageRequest } from '../../src/ports/metadata/images.js';
import type { AccessRule } from '../../src/protocol/settings/access-config.js';

/** 50,000 images, of 100 teams. */
const images = Array.from({ length: 50_000 }, (_, i) => `team-${String(i % 100).padStart(2, '0')}/app-${i}`).sort();

interface Work {
  searches: number;
  read: number;
  asked: number;
}

/** A catalog over the images for an anonymous user, and the work that it does. */
function scene(names: readonly string[], leaveAfter = Infinity) {
  const work: Work = { searches: 0, read: 0, asked: 0 };
  const listImages = (_caller: Caller, { limit, after = '', prefix = '' }: ImagePageRequest): Promise<ImagePage> => {
    work.searches++;
    const fitting = images.filter((image) => image > after && image.startsWith(prefix)).slice(0, limit + 1);
    work.read += Math.min(fitting.length, limit);
    const items = fitting.slice(0, limit).map((image) => ({ image, manifests: 1, tags: 1, bytes: 1, updatedAt: 1 }));
    return Promise.resolve({ items, more: fitting.length > limit });
  };
  const repository = { config: { name: 'docker' }, listImages } as unknown as Repository;
  const directory = { listAt: () => [{ repository, prefix: 'docker/' }] } as unknown as RepositoryDirectory;
  const rules = new RuleSet(names.map((name): AccessRule => ({ names: [name], anonymous: true, allow: ['pull'] })));
  const caller = {
    hasLeft: () => work.read >= leaveAfter,
    reach: (name: string) => {
      const { prefixes, has } = rules.reach(anonymous, name);
      return Promise.resolve({ prefixes, has: (image: string) => (work.asked++, has(image)) });
    },
  } as unknown as Caller;
  const catalog = createListCatalog(() => ({ directory }));
  const get = async (search: string): Promise<{ names: string[]; next: string | undefined }> => {
    const query = new URLSearchParams(search);
    const { body, headers } = await catalog({
      query,
      caller,
      client: {},
      path: '/v2/_catalog',
      turn: async () => {},
    } as never);
    const { repositories } = JSON.parse((body as Buffer).toString()) as { repositories: string[] };
    return { names: repositories, next: /\?([^>]*)>/.exec(headers?.['Link']?.toString() ?? '')?.[1] };
  };
  const follow = async (search: string): Promise<{ found: string[]; pages: string[][]; links: string[] }> => {
    const pages: string[][] = [];
    const links: string[] = [];
    for (let next: string | undefined = search; next !== undefined; links.push(next ?? '')) {
      const page = await get(next);
      pages.push(page.names);
      next = page.next;
    }
    return { found: pages.flat(), pages, links };
  };
  return { work, get, follow };
}

const rulesElsewhere = Array.from({ length: 99 }, (_, i) => `other-${i}/**`);

describe('a catalog over 50,000 images with 100 rules', () => {
  it('reads and checks only the images that a rule reaches, each once', async () => {
    const { work, follow } = scene([...rulesElsewhere, 'docker/team-42/**']);
    const { found, pages } = await follow('n=100');
    expect(found).toEqual(images.filter((image) => image.startsWith('team-42/')).map((image) => `docker/${image}`));
    expect(pages.map(({ length }) => length)).toEqual([100, 100, 100, 100, 100]);
    // One more than a page shows whether there are more.
    expect(work).toEqual({ searches: 5, read: 504, asked: 504 });
  });

  it('reads nothing if no rule reaches the repository', async () => {
    const { work, get } = scene([...rulesElsewhere, 'docker-2/**']);
    expect(await get('')).toEqual({ names: [], next: undefined });
    expect(work).toEqual({ searches: 0, read: 0, asked: 0 });
  });

  it('reads one image more than a page if a rule reaches everything', async () => {
    const { work, get } = scene([...rulesElsewhere, '**']);
    expect((await get('')).names).toHaveLength(100);
    expect(work).toEqual({ searches: 1, read: 101, asked: 101 });
  });

  it('bounds the work of one request by a shorter page and a Link that reveals no name', async () => {
    const { work, get, follow } = scene([...rulesElsewhere, 'docker/*/app-77']);
    const first = await get('n=10');
    expect(work.read).toBeLessThanOrEqual(20_000);
    expect(first.names).toEqual([]);
    const { found, pages, links } = await follow('n=10');
    expect(found).toEqual(['docker/team-77/app-77']);
    expect(pages.map(({ length }) => length)).toEqual([0, 1, 0]);
    expect(links.join(' ').replaceAll('docker%2Fteam-77%2Fapp-77', '')).not.toMatch(/team|app/);
  });

  it('stops reading when the client disconnects', async () => {
    const { work, get } = scene(['docker/*/none'], 3000);
    await get('');
    expect(work.read).toBeLessThan(4000);
  });

  it.each(['cursor=x', 'cursor=', `cursor=${'a'.repeat(2000)}`])(
    'rejects a cursor that it did not issue: %s',
    async (query) => {
      await expect(scene([]).get(query)).rejects.toMatchObject({ code: 'PAGINATION_NUMBER_INVALID', status: 400 });
    },
  );
});
