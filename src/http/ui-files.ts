import { createRequire } from 'node:module';
import path from 'node:path';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Options, RequestHandler } from 'sirv';
import type { Middleware } from './handler.js';

const root = '/ui';
const yearSeconds = 31_536_000;

/**
 * Headers of every file of the web UI. The page runs only its own files, sends requests only to its own origin, and cannot be
 * framed. `trusted-types 'none'` refuses every way to turn text into a script.
 */
const pageHeaders = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
} as const;

/**
 * Creates the middleware that serves the web UI at `/ui/`, relative to the path where it is mounted. The files are public: all
 * data comes from the management API beside it. Answers 503 when the files were not built.
 */
export function createUi(): Middleware {
  let files: RequestHandler | undefined;
  return (req, res, next) => {
    const { url = '' } = req;
    const place = /^[^?#]*/.exec(url)?.[0] ?? '';
    if (place !== root && !place.startsWith(`${root}/`)) return next();
    for (const [name, value] of Object.entries(pageHeaders)) res.setHeader(name, value);
    if (req.method !== 'GET' && req.method !== 'HEAD') return refuse(res, 405, 'use GET', { Allow: 'GET, HEAD' });
    // Relative, because a reverse proxy may have changed the path.
    if (place === root) return refuse(res, 308, 'see ui/', { Location: 'ui/' });
    files ??= openFiles();
    if (files === undefined) return refuse(res, 503, 'the web UI is not built: run "npm run build"');
    serve(files, req, res, url);
  };
}

function serve(files: RequestHandler, req: IncomingMessage, res: ServerResponse, url: string): void {
  // A range of a page is useless.
  delete req.headers.range;
  req.url = url.slice(root.length);
  files(req, res, () => refuse(res, 404, 'not found: the web UI is at ui/'));
  req.url = url;
}

/** Loads the server of files on the first request, for a faster start. Returns `undefined` when there are no files. */
function openFiles(): RequestHandler | undefined {
  const require = createRequire(import.meta.url);
  let index: string;
  try {
    index = require.resolve('#ui');
  } catch {
    return undefined;
  }
  // `require` has no types.
  const create = require('sirv') as (folder: string, options: Options) => RequestHandler;
  return create(path.dirname(index), {
    etag: true,
    gzip: true,
    brotli: true,
    setHeaders: (res, file) => {
      // The names of all other files contain a hash of their content.
      const isHashed = file.startsWith('/assets/');
      res.setHeader('Cache-Control', isHashed ? `public, max-age=${yearSeconds}, immutable` : 'no-cache');
    },
  });
}

function refuse(res: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  const body = `${text}\n`;
  res.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    ...headers,
  });
  res.end(body);
}
