import { Readable } from 'node:stream';
import { digestOf } from '../../src/protocol/digest.js';
import { parseTag } from '../../src/protocol/names.js';
import { VirtualRepository } from '../../src/repositories/virtual/virtual-repository.js';
import {
  repositoryContract,
  repositoryWriterContract,
  type RepositoryFixture,
  type Seed,
} from '../contracts/repository.js';
import { anyone, Domain } from '../support/storage/domain.js';

/** Creates a virtual repository whose only member accepts pushes. */
async function create(): Promise<RepositoryFixture> {
  const domain = await Domain.open();
  await domain.addRepository('local', { sparse: true });
  const repository = new VirtualRepository(
    {
      name: 'virtual',
      type: 'virtual',
      description: '',
      members: [{ name: 'local', include: [], exclude: [] }],
      order: 'local-first',
      pushTo: 'local',
      reserved: [],
    },
    (name) => (name === 'local' ? domain.repository('local') : undefined),
  );
  const seed = async (image: string, { blobs = [], manifests = [] }: Seed): Promise<void> => {
    const writer = domain.writer('local');
    for (const bytes of blobs) await writer.putBlob(anyone, image, digestOf(bytes), Readable.from([bytes]));
    for (const { manifest, tags = [] } of manifests)
      await writer.putManifest(anyone, image, manifest, tags.map(parseTag));
  };
  return {
    repository,
    seed,
    seedMountSource: async (blobs) => {
      await seed('mount/source', { blobs });
      return { repository: 'local', image: 'mount/source' };
    },
    dispose: () => domain.dispose(),
  };
}

repositoryContract('VirtualRepository with one member', create);
repositoryWriterContract('VirtualRepository with one member', create);
