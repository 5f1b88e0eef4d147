// A registry that serves an image only if it is signed with a cosign key.
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRegistry } from 'artifactapi';
import { createRegistryListener } from 'artifactapi/node';
import { isSignature, isSigned, readKey } from './signatures.mjs';

const key = readKey(readFileSync(process.env.COSIGN_KEY ?? 'cosign.pub'));
const { SIGNER_PASSWORD } = process.env;
if (!SIGNER_PASSWORD) throw new Error('set SIGNER_PASSWORD: the user "signer" pushes and signs images with it');
const signer = { id: 'signer', groups: [] }; // stands in for your users

function authenticate({ headers: { authorization = '' } }) {
  const hash = (value) => createHash('sha256').update(value).digest();
  const expected = `Basic ${Buffer.from(`${signer.id}:${SIGNER_PASSWORD}`).toString('base64')}`;
  return timingSafeEqual(hash(authorization), hash(expected)) ? signer : undefined;
}

const registry = createRegistry({
  storage: process.env.DATA ?? './data',
  repositories: [
    { name: 'production', type: 'local' },
    { name: 'docker-internal', type: 'local' },
  ],
  access: {
    authenticate,
    rules: [
      { anonymous: true, allow: ['pull'] },
      { users: [signer.id], allow: ['pull', 'push'] },
    ],
  },
  hooks: {
    async beforePull({ image: { repository, image }, manifest, actor, read }) {
      // cosign reads an image before it signs it.
      if (repository !== 'production' || actor.principal === signer.id || isSignature(manifest)) return undefined;
      if (await isSigned(read, manifest.digest, key)) return undefined;
      return { refuse: `${repository}/${image}@${manifest.digest} is not signed with the key of production` };
    },
  },
});

const server = createServer({ requestTimeout: 0 }, createRegistryListener(registry, { management: '/' }));
server.listen(Number(process.env.PORT ?? 5000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
const stop = () => server.close(() => void registry.close());
process.once('SIGTERM', stop).once('SIGINT', stop);
