import { once } from 'node:events';
import { request as requestHttp, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';

/** Thrown when `import` or `export` fails. The message is for the user of the command. */
export class ArchiveCommandError extends Error {
  override readonly name = 'ArchiveCommandError';
}

/** The parts of `http://host:5000/<repository>/<image>:<tag>`. */
export interface ArchiveAddress {
  readonly origin: string;
  readonly repository: string;
  readonly image?: string;
  /** A tag, or a digest if the address has an @. */
  readonly reference?: string;
}

/** Parses an address. @throws ArchiveCommandError if the text has another form. */
export function parseArchiveAddress(address: string): ArchiveAddress {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const match = /^\/(?<repository>[^/:@]+)(?:\/(?<image>[^:@]+)(?:[:@](?<reference>.+))?)?\/?$/.exec(
    url?.pathname ?? '',
  );
  const { repository, image, reference } = match?.groups ?? {};
  if (url === undefined || !/^https?:$/.test(url.protocol) || repository === undefined) {
    throw new ArchiveCommandError(
      `invalid address "${address}": write it as http://localhost:5000/<repository>/<image>:<tag>`,
    );
  }
  return {
    origin: url.origin,
    repository,
    ...(image === undefined ? {} : { image }),
    ...(reference === undefined ? {} : { reference }),
  };
}

/** Returns the `Authorization` header: Basic for `user`, which is `name:password`, or else Bearer for a token. */
export function authorizationOf(user: string | undefined, token: string | undefined): Readonly<Record<string, string>> {
  if (user !== undefined) return { Authorization: `Basic ${Buffer.from(user).toString('base64')}` };
  return token === undefined || token === '' ? {} : { Authorization: `Bearer ${token}` };
}

/** A request to the management API of a registry. */
export interface ArchiveRequest {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body?: readonly [source: Readable, through: NodeJS.ReadWriteStream];
}

/**
 * Sends a request, and its body until the answer arrives: a registry that refuses does not read all of it.
 * @throws ArchiveCommandError if there is no answer, or its status is 300 or above.
 */
export async function sendArchiveRequest({ method, url, headers, body }: ArchiveRequest): Promise<IncomingMessage> {
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  const req = send(url, { method, headers });
  const stop = new AbortController();
  // `once` does not know the type of the event.
  const answered = once(req, 'response', { signal: stop.signal }) as Promise<[IncomingMessage]>;
  answered.catch(() => undefined);
  const sending = sendBody(req, body, stop.signal);
  try {
    // A failure to read the body ends the request. If it cannot be sent, an answer may say why.
    await Promise.race([answered, sending]);
    const [answer] = await answered;
    if (answer.statusCode === undefined || answer.statusCode >= 300) throw await explainRefusal(answer);
    // The registry has read the whole body. Stopping the pipeline before it notices would cut off the answer.
    await sending.catch(() => undefined);
    return answer;
  } catch (error) {
    req.destroy();
    stop.abort();
    await sending.catch(() => undefined);
    if (error instanceof ArchiveCommandError) throw error;
    throw new ArchiveCommandError(`no answer from ${url.origin}: ${messageOf(error)}`, { cause: error });
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

/** Returns an error with the first message of the registry's answer. */
async function explainRefusal(answer: IncomingMessage): Promise<ArchiveCommandError> {
  const status = `${answer.statusCode} ${answer.statusMessage ?? ''}`.trim();
  const body = await text(answer).catch(() => '');
  const first = readFirstError(body);
  if (first === undefined) return new ArchiveCommandError(`the registry answered with ${status}`);
  const detail = first.detail === undefined ? '' : ` ${JSON.stringify(first.detail)}`;
  return new ArchiveCommandError(`the registry refused: ${first.message} (${first.code}, ${status})${detail}`);
}

function readFirstError(body: string): { code: string; message: string; detail?: unknown } | undefined {
  try {
    // An answer of another form comes from something else than a registry; its fields then print as undefined.
    return (JSON.parse(body) as { errors?: { code: string; message: string; detail?: unknown }[] }).errors?.[0];
  } catch {
    return undefined;
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // A host with several addresses fails with one error per address.
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return error.message;
}
