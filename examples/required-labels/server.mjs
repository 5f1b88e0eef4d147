// A registry that accepts an image only if it carries a label.
import { createServer } from 'node:http';
import { createRegistry } from 'artifactapi';
import { createRegistryListener } from 'artifactapi/node';

const label = process.env.LABEL ?? 'org.opencontainers.image.source';

/** The layers of signatures and attestations, which describe an image and need no label of their own. */
const descriptions = new Set([
  'application/vnd.in-toto+json',
  'application/vnd.dev.cosign.simplesigning.v1+json',
  'application/vnd.dsse.envelope.v1+json',
  'application/vnd.dev.sigstore.bundle.v0.3+json',
]);

/** Returns the first part of an image without the label; `undefined` if every part has it. */
async function findUnlabelled(read, manifest, part) {
  const listed = [...manifest.children, ...manifest.attestations];
  for (const { digest, platform = digest } of listed) {
    const child = await read.manifest(digest);
    const found = child === undefined ? platform : await findUnlabelled(read, child, platform);
    if (found !== undefined) return found;
  }
  if (listed.length > 0 || (await hasLabel(read, manifest))) return undefined;
  return part;
}

async function hasLabel(read, { annotations, layers, config }) {
  if (annotations[label]) return true;
  if (layers.length > 0 && layers.every(({ mediaType }) => descriptions.has(mediaType))) return true;
  const bytes = config && (await read.blob(config.digest));
  return Boolean(bytes && parse(bytes)?.config?.Labels?.[label]);
}

/** Returns the JSON of a config; `undefined` for other bytes, which the config of an artifact may have. */
function parse(bytes) {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

const registry = createRegistry({
  storage: process.env.DATA ?? './data',
  // Anyone who can connect may push. Safe on the loopback address below, and nowhere else.
  access: 'open',
  repositories: [{ name: 'docker-internal', type: 'local' }],
  hooks: {
    async beforeManifestPut({ read, manifest, image }) {
      const part = await findUnlabelled(read, manifest, image.image);
      if (part === undefined) return undefined;
      return { refuse: `${part} needs the label ${label}: build with --label ${label}=VALUE` };
    },
  },
});

const server = createServer({ requestTimeout: 0 }, createRegistryListener(registry, { management: '/' }));
server.listen(Number(process.env.PORT ?? 5000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
const stop = () => server.close(() => void registry.close());
process.once('SIGTERM', stop).once('SIGINT', stop);
