import { Readable } from 'node:stream';
import { digestOf } from '../../src/protocol/digest.js';
import { parseTag } from '../../src/protocol/names.js';
import type { Repository } from '../../src/ports/repository.js';
import { repositoryContract, type RepositoryFixture, type Seed } from '../contracts/repository.js';
import { anyone } from '../support/storage/domain.js';
import { startMemoryRegistry } from '../support/servers/registry.js';

/** Puts content into a local repository. */
async function fill(repository: Repository | undefined, image: string, seed: Seed): Promise<void> {
  const writer = repository?.writer;
  if (writer === undefined) throw new Error('the repository has no writer');
  for (const bytes of seed.blobs ?? []) await writer.putBlob(anyone, image, digestOf(bytes), Readable.from([bytes]));
  for (const { manifest, tags = [] } of seed.manifests ?? []) {
    await writer.putManifest(anyone, image, manifest, tags.map(parseTag));
  }
}

/** Creates a remote repository of another registry's local repository, over HTTP. */
function create(cache: boolean): () => Promise<RepositoryFixture> {
  return async () => {
    const upstream = await startMemoryRegistry({ repositories: [{ name: 'local', type: 'local', sparse: true }] });
    const server = await startMemoryRegistry({
      repositories: [
        {
          name: 'remote',
          type: 'remote',
          url: `${upstream.url}/local`,
          cache,
          negativeTtlSeconds: 0,
          listTtlSeconds: 0,
        },
      ],
    });
    const repository = server.directory.get('remote')?.repository;
    if (repository === undefined) throw new Error('the remote repository is missing');
    return {
      repository,
      seed: (image, seed) => fill(upstream.directory.get('local')?.repository, image, seed),
      dispose: async () => {
        await server.close();
        await upstream.close();
      },
    };
  };
}

repositoryContract('CacheRepository of a local repository', create(true));
