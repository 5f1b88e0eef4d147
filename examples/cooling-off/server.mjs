// A cache of Docker Hub that serves a new image of a tag only when it is a week old or approved.
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { createRegistry } from 'artifactapi';
import { createRegistryListener } from 'artifactapi/node';
import { openCoolingOff } from './cooling-off.mjs';

const { APPROVAL_TOKEN, COOLING_DAYS = '7', DATA = './data', HUB_URL = 'https://registry-1.docker.io' } = process.env;
if (!(Number(COOLING_DAYS) > 0)) throw new Error(`COOLING_DAYS must be a number of days: "${COOLING_DAYS}"`);
const stateFile = process.env.COOLING_FILE ?? path.join(path.dirname(DATA), 'cooling-off.json');
const coolingOff = await openCoolingOff(stateFile, Number(COOLING_DAYS));
const cooled = new Set(['hub']); // the repositories whose tags cool off

const registry = createRegistry({
  storage: DATA,
  // Anyone who can connect may pull. Safe on the loopback address below, and nowhere else.
  access: 'open',
  repositories: [{ name: 'hub', type: 'remote', url: HUB_URL }],
  hooks: {
    async beforePull({ image: { repository, image }, reference, manifest }) {
      if (!cooled.has(repository) || reference.tag === undefined) return undefined;
      return { serve: await coolingOff.decide(`${repository}/${image}:${reference.tag}`, manifest.digest) };
    },
  },
});

/** Answers `GET /waiting` and `POST /approvals` with `{ name, digest }`. */
async function answer(req, res) {
  if (req.method === 'GET' && req.url === '/waiting') return send(res, 200, coolingOff.waiting());
  if (req.method !== 'POST' || req.url !== '/approvals') return send(res, 404, { error: 'not found' });
  if (!isApprover(req.headers.authorization)) return send(res, 401, { error: 'wrong token' });
  const { name, digest } = parse(await text(req)) ?? {};
  const isApproved = await coolingOff.approve(name, digest);
  return send(res, isApproved ? 200 : 404, isApproved ? { name, digest } : { error: 'this digest is not waiting' });
}

function isApprover(authorization = '') {
  const hash = (value) => createHash('sha256').update(value).digest();
  return Boolean(APPROVAL_TOKEN) && timingSafeEqual(hash(authorization), hash(`Bearer ${APPROVAL_TOKEN}`));
}

function parse(body) {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function send(res, status, body) {
  res.writeHead(status, { 'Content-Type': 'application/json' }).end(`${JSON.stringify(body, null, 2)}\n`);
}

const fallback = (req, res) => {
  answer(req, res).catch((error) => {
    console.error(error);
    send(res, 500, { error: 'internal error' });
  });
};
const listener = createRegistryListener(registry, { management: '/', fallback });
const server = createServer({ requestTimeout: 0, keepAliveTimeout: 75_000 }, listener);
server.listen(Number(process.env.PORT ?? 5000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
const stop = () => server.close(() => void registry.close());
process.once('SIGTERM', stop).once('SIGINT', stop);
