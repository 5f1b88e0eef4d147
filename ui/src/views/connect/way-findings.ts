import type { SelfTestDocument } from '../../../../src/protocol/documents/self-test.js';
import { ApiError } from '../../api-error.ts';
import { formatBytes } from '../../format.ts';

/** A body that was sent to the registry to find out what happens to it on the way. */
export interface Attempt {
  /** In bytes, of which all are 0. */
  readonly size: number;
  /** Bytes that were sent. */
  readonly sent: number;
  /** Milliseconds from the end of the body to the answer. */
  readonly waitMs: number;
  readonly result: SelfTestDocument | ApiError;
}

/** The conclusion from a test. */
export interface Finding {
  readonly isGood: boolean;
  readonly text: string;
  /** Lines for the configuration of nginx. */
  readonly fix?: string;
}

const MiB = 2 ** 20;

/** The bodies to send: their sizes, with the SHA-256 of as many zeros. */
export const testBodies: ReadonlyMap<number, string> = new Map([
  [MiB, '30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58'],
  [64 * MiB, '3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351'],
  [256 * MiB, 'a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484'],
]);

/** Socket buffers of this machine and of proxies hold smaller bodies completely, so their times say nothing. */
const minJudgedBytes = 32 * MiB;

const size = 'client_max_body_size 0;';
const times = 'client_body_timeout 300s;\nproxy_send_timeout 900s;\nproxy_read_timeout 900s;';
const streaming = 'proxy_http_version 1.1;\nproxy_request_buffering off;';
const headers =
  'proxy_set_header Host $http_host;\nproxy_set_header X-Forwarded-Host $http_host;\n' +
  'proxy_set_header X-Forwarded-Proto $scheme;\nproxy_set_header X-Forwarded-For $remote_addr;';

/** Returns in plain words what happened to a body on its way to the registry. */
export function judgeAttempt(attempt: Attempt): Finding {
  const { result } = attempt;
  return result instanceof ApiError ? judgeError(attempt, result) : judgeAnswer(attempt, result);
}

function judgeAnswer({ size: bytes, waitMs }: Attempt, answer: SelfTestDocument): Finding {
  const title = formatBytes(bytes);
  const { received_bytes: received, sha256, receive_ms: receiveMs } = answer;
  if (received !== bytes || sha256 !== testBodies.get(bytes)) {
    const text = `A proxy changed the ${title}: ${formatBytes(received)} arrived. Pushes fail with DIGEST_INVALID.`;
    return { isGood: false, text };
  }
  // The registry began to receive it after all of it was sent.
  if (bytes >= minJudgedBytes && receiveMs <= waitMs) {
    const text = `${title} arrived whole, but a proxy stored all of it first. Pushes take longer, and need space there.`;
    return { isGood: false, text, fix: streaming };
  }
  return { isGood: true, text: `${title} arrived whole.` };
}

function judgeError({ size: bytes, sent }: Attempt, { status, code, message }: ApiError): Finding {
  const title = formatBytes(bytes);
  if (status === 0) {
    const text = `The connection broke after ${formatBytes(sent)} of ${title}. Proxies break it where a body is too large or too slow for them.`;
    return { isGood: false, text, fix: `${size}\n${times}` };
  }
  // Proxies answer with pages of their own, the registry with its codes.
  if (code !== 'UNKNOWN') return { isGood: false, text: `The registry refused ${title}: ${message} (${code}).` };
  if (status === 413) {
    const text = `A proxy refused ${title} as too large (413). Layers of this size cannot be pushed.`;
    return { isGood: false, text, fix: size };
  }
  if (status === 408 || status === 504) {
    const text = `A proxy did not wait for ${title} to arrive (${status}). Large layers fail on slow connections.`;
    return { isGood: false, text, fix: times };
  }
  if (status === 502) {
    const text = `A proxy lost its connection to the registry while it sent ${title} (502): it timed out, or the registry stopped.`;
    return { isGood: false, text, fix: times };
  }
  return { isGood: false, text: `A proxy refused ${title} with status ${status}.` };
}

/** Compares the registry's own origin, as it sees it, with that of the page. */
export function judgeOrigin(seen: string | null, page: string): Finding {
  if (seen === page) return { isGood: true, text: `The registry knows that it is reached at ${page}.` };
  return {
    isGood: false,
    text: `The registry believes that it is reached at ${seen ?? 'no host'}, but this page is at ${page}. docker login is sent to the wrong address. Set publicUrl, or add the proxy to trustedProxies and let it send these headers.`,
    fix: headers,
  };
}
