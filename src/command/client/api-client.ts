/**
 * The commands that administer a registry through its management API: a running one over http, or a stopped one whose
 * data folder is opened in this process (`data-folder.ts`). Both get the same requests. This file sends them and reads
 * the answers; `connection.ts` chooses the registry, and `commands/` defines the commands. Imported by the command
 * alone.
 */
import { Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { json } from 'node:stream/consumers';
import { managementEndpoints, type ManagementOp, type ManagementParams } from '../../protocol/tables/management.js';
import { CommandError } from '../command-io.js';
import { RefusalError, sendRequest, type SentRequest } from './send-request.js';

/** A document of the API. */
export type Document = Readonly<Record<string, unknown>>;

/** The registry that an `ApiClient` asks. */
export interface ApiServer {
  /** Where the management API is mounted: `http://127.0.0.1:5000` or `https://gateway.example/tools`. */
  readonly url: URL;
  /** A Unix socket to connect to, instead of the URL. */
  readonly socketPath?: string;
  readonly authorization?: string | undefined;
  /** Where the credentials come from, for the message when they are refused. */
  readonly credentials: string;
}

/** The parameters, the query and the body of a request. */
export interface ApiRequest<O extends ManagementOp> {
  readonly params?: Readonly<Record<keyof ManagementParams<O>, string>>;
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
  /** Sent as JSON. */
  readonly document?: object;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: SentRequest['body'];
}

/** The size of the pages in which lists are read. */
const pageSize = 1000;

/** Sends requests to the management API of a registry. */
export class ApiClient {
  readonly #server: ApiServer;
  readonly #agent: HttpAgent;

  constructor(server: ApiServer) {
    this.#server = server;
    this.#agent = new (server.url.protocol === 'https:' ? HttpsAgent : HttpAgent)({ keepAlive: true });
  }

  /** Returns the document that the registry answers with; `undefined` for a 204. @throws CommandError */
  async request<O extends ManagementOp>(op: O, request: ApiRequest<O> = {}): Promise<Document> {
    const answer = await this.open(op, request);
    if (answer.statusCode === 204) {
      answer.resume();
      return {};
    }
    return this.#read(answer);
  }

  /** Returns a document with its entity tag, for `If-Match`. @throws CommandError */
  async read<O extends ManagementOp>(
    op: O,
    request: ApiRequest<O>,
  ): Promise<{ readonly document: Document; readonly version: string | undefined }> {
    const answer = await this.open(op, request);
    // A proxy that compresses makes it weak, and a weak one never matches.
    return { document: await this.#read(answer), version: answer.headers.etag?.replace(/^W\//, '') };
  }

  /** Returns the items of a list, page by page. @param key the field of the document with the items. */
  async *list<O extends ManagementOp>(op: O, key: string, request: ApiRequest<O> = {}): AsyncGenerator<Document> {
    let query: ApiRequest<O>['query'] | undefined = request.query ?? {};
    if (takesPages(op)) query = { n: pageSize, ...query };
    while (query !== undefined) {
      const answer = await this.open(op, { ...request, query });
      const { [key]: items } = await this.#read(answer);
      if (!Array.isArray(items)) throw new CommandError(`the response of ${this.#server.url.href} has no "${key}"`);
      yield* items as readonly Document[];
      query = nextQuery(answer.headers['link']);
    }
  }

  /** Sends a request and returns the answer with its body unread. @throws CommandError for a status of 300 or above. */
  async open<O extends ManagementOp>(
    op: O,
    { params, query = {}, document, headers, body }: ApiRequest<O>,
  ): Promise<IncomingMessage> {
    const { url, socketPath, authorization } = this.#server;
    const row = managementEndpoints.find((endpoint) => endpoint.op === op);
    if (row === undefined) throw new Error(`no operation ${op}`);
    const path = url.pathname.replace(/\/$/, '') + fillPath(row.path, params ?? {});
    const search = formatQuery(query);
    try {
      return await sendRequest({
        method: row.method,
        origin: url,
        socketPath,
        target: search === '' ? path : `${path}?${search}`,
        headers: {
          ...(authorization === undefined ? {} : { Authorization: authorization }),
          ...(document === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...headers,
        },
        body: document === undefined ? body : JSON.stringify(document),
        agent: this.#agent,
      });
    } catch (error) {
      if (error instanceof RefusalError && error.status === 401) throw withCredentials(error, this.#server.credentials);
      throw error;
    }
  }

  /** Ends the connections. */
  close(): void {
    this.#agent.destroy();
  }

  async #read(answer: IncomingMessage): Promise<Document> {
    const document: unknown = await json(answer).catch(() => undefined);
    if (typeof document === 'object' && document !== null) return document as Document;
    throw new CommandError(`the response of ${this.#server.url.href} is not a JSON document: is it a registry?`);
  }
}

function takesPages(op: ManagementOp): boolean {
  const row = managementEndpoints.find((endpoint) => endpoint.op === op);
  return row !== undefined && 'query' in row && row.query.some(({ name }) => name === 'n');
}

/** Fills in the placeholders of a path. A name of an image keeps its slashes; everything else becomes one segment. */
function fillPath(path: string, params: Readonly<Record<string, string>>): string {
  return path.replace(/:([a-z]+)/g, (_placeholder, name: string) => {
    const value = params[name] ?? '';
    return (name === 'image' ? value.split('/') : [value]).map(encodeSegment).join('/');
  });
}

/** Encodes a segment of a path. Dots alone would change the path, if something in between normalizes it. */
function encodeSegment(segment: string): string {
  const encoded = encodeURIComponent(segment);
  return /^\.{1,2}$/.test(encoded) ? encoded.replaceAll('.', '%2E') : encoded;
}

function formatQuery(query: NonNullable<ApiRequest<ManagementOp>['query']>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one !== undefined) search.append(name, String(one));
  }
  return search.toString();
}

/** Returns the query of the next page: a proxy may have changed the path, so it stays ours. */
function nextQuery(link: string | string[] | undefined): Record<string, readonly string[]> | undefined {
  const target = /^<([^>]+)>; *rel="next"/.exec([link].flat().at(0) ?? '')?.[1];
  if (target === undefined) return undefined;
  const { searchParams } = new URL(target, 'http://registry');
  return Object.fromEntries([...new Set(searchParams.keys())].map((name) => [name, searchParams.getAll(name)]));
}

function withCredentials(error: RefusalError, credentials: string): CommandError {
  return new CommandError(`${error.message}\n  credentials: ${credentials}`, { cause: error });
}
