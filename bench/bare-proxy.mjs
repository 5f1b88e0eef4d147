/** The peer of the pass-through measure: plain http-proxy with keep-alive connections to the upstream. */
import { Agent, createServer } from 'node:http';
import httpProxy from 'http-proxy';
import { announce } from './child.mjs';

const [target = ''] = process.argv.slice(2);
const proxy = httpProxy.createProxyServer({ target, agent: new Agent({ keepAlive: true }) });
proxy.on('error', (error, _req, res) => {
  process.stderr.write(`${error.message}\n`);
  res.destroy();
});
announce(createServer((req, res) => proxy.web(req, res)));
