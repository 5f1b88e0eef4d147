import { once } from 'node:events';
import { request as requestHttp, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';

/** What went wrong between us and a registry, in words for whoever gave the command. */
export class ArchiveCommandError extends Error {
  override readonly name = 'ArchiveCommandError';
}

/** `http://host:5000/<repository>/<image>:<tag>`, taken apart. */
export interface ArchiveAddress {
  readonly origin: string;
  readonly repository: string;
  readonly image?: string;
  /** A tag, or a digest behind an @. */
  readonly reference?: string;
}

/** @throws ArchiveCommandError when the text is no such address. */
export function parseArchiveAddress(address: string): ArchiveAddress {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const match = /^\/(?<repository>[^/:@]+)(?:\/(?<image>[^:@]+)(?:[:@](?<reference>.+))?)?\/?$/.exec(
    url?.pathname ?? '',
  );
  const { repository, image, reference } = match?.groups ?? {};
  if (url === undefined || !/^https?:$/.test(url.protocol) || repository === undefined) {
    throw new ArchiveCommandError(
      `${address} is no address of this kind: http://localhost:5000/<repository>/<image>:<tag>`,
    );
  }
  return {
    origin: url.origin,
    repository,
    ...(image === undefined ? {} : { image }),
    ...(reference === undefined ? {} : { reference }),
  };
}

/** `Authorization` of a request: a name with its password, else a token, else none. */
export function authorizationOf(user: string | undefined, token: string | undefined): Readonly<Record<string, string>> {
  if (user !== undefined) return { Authorization: `Basic ${Buffer.from(user).toString('base64')}` };
  return token === undefined || token === '' ? {} : { Authorization: `Bearer ${token}` };
}

export interface ArchiveRequest {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body?: readonly [source: Readable, through: NodeJS.ReadWriteStream];
}

/**
 * Sends a request, and its body until there is an answer: a registry that refuses does not wait for all of it.
 * @throws ArchiveCommandError when there is no answer, or it is a refusal.
 */
export async function sendArchiveRequest({ method, url, headers, body }: ArchiveRequest): Promise<IncomingMessage> {
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  const req = send(url, { method, headers });
  const stop = new AbortController();
  const answered = once(req, 'response', { signal: stop.signal }) as Promise<[IncomingMessage]>;
  answered.catch(() => undefined);
  const sending = sendBody(req, body, stop.signal);
  try {
    // A body that cannot be read ends the request; one that cannot be sent may have an answer that says why.
    await Promise.race([answered, sending]);
    const [answer] = await answered;
    if (answer.statusCode !== undefined && answer.statusCode < 300) return answer;
    throw await explainRefusal(answer);
  } catch (error) {
    req.destroy();
    if (error instanceof ArchiveCommandError) throw error;
    throw new ArchiveCommandError(`${url.origin} gave no answer: ${messageOf(error)}`, { cause: error });
  } finally {
    stop.abort();
    await sending.catch(() => undefined);
  }
}

async function sendBody(req: ClientRequest, body: ArchiveRequest['body'], signal: AbortSignal): Promise<void> {
  if (body === undefined) {
    req.end();
    return;
  }
  const [source, through] = body;
  source.once('error', (cause) =>
    req.destroy(new ArchiveCommandError(`the archive cannot be read: ${cause.message}`, { cause })),
  );
  await pipeline(source, through, req, { signal });
}

/** The first error of the answer, as the registry words it. */
async function explainRefusal(answer: IncomingMessage): Promise<ArchiveCommandError> {
  const status = `${answer.statusCode} ${answer.statusMessage ?? ''}`.trim();
  const body = await text(answer).catch(() => '');
  const first = readFirstError(body);
  if (first === undefined) return new ArchiveCommandError(`the registry answered ${status}`);
  const detail = first.detail === undefined ? '' : ` ${JSON.stringify(first.detail)}`;
  return new ArchiveCommandError(`the registry refuses: ${first.message} (${first.code}, ${status})${detail}`);
}

function readFirstError(body: string): { code: string; message: string; detail?: unknown } | undefined {
  try {
    return (JSON.parse(body) as { errors?: { code: string; message: string; detail?: unknown }[] }).errors?.[0];
  } catch {
    return undefined;
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // A host with several addresses fails with one error for each of them.
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return error.message;
}
