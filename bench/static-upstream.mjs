/** A minimal upstream with one manifest of 1 KB. A real registry would limit the result of the measure. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { announce } from './child.mjs';

/** The path of the manifest without the prefix of the server. */
export const staticManifest = 'bench/static/manifests/latest';

const manifestBytes = 1024;

function makeManifest() {
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const empty = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a';
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: empty, size: 2 };
  const content = (/** @type {string} */ fill) =>
    JSON.stringify({ schemaVersion: 2, mediaType: type, config, layers: [], annotations: { fill } });
  const body = Buffer.from(content('x'.repeat(manifestBytes - content('').length)));
  const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`;
  return { body, headers: { 'Content-Type': type, 'Content-Length': body.length, 'Docker-Content-Digest': digest } };
}

/** Runs the server, if this file is the program. */
function serve() {
  const { body, headers } = makeManifest();
  const server = createServer((req, res) => {
    if (req.url === '/v2/') res.writeHead(200, { 'Content-Length': 2 }).end('{}');
    else if (req.url === `/v2/${staticManifest}`) res.writeHead(200, headers).end(body);
    else res.writeHead(404, { 'Content-Length': 0 }).end();
  });
  announce(server);
}

if (process.argv[1] === import.meta.filename) serve();
