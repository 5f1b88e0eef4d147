import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ZodMiniType } from 'zod/mini';

/** The tables of src/protocol/ from which documents are generated. */
export interface Tables {
  readonly endpoints: readonly object[];
  readonly managementEndpoints: readonly object[];
  readonly errorTable: object;
  readonly namespaceQuery: object;
  readonly placeholderPatterns: object;
  readonly documents: object;
  readonly version: string;
}

/** The sources of the options: the schemas and the flags of `artifactapi serve`. */
export interface OptionSources {
  readonly optionsSchema: ZodMiniType;
  readonly serverSchema: ZodMiniType;
  readonly serveFlags: readonly { readonly flags: string; readonly description: string }[];
  readonly secondsPerUnit: Readonly<Record<string, number>>;
  readonly bytesPerUnit: Readonly<Record<string, number>>;
}

/** The functions that generate documents. */
export interface Writer {
  readonly loadTables: (load: (module: string) => Promise<unknown>) => Promise<Tables>;
  readonly renderHttpApi: (tables: Tables) => string;
  readonly renderOpenApi: (tables: Tables) => string;
  readonly renderConfiguration: (page: string, sources: OptionSources) => string;
  readonly renderConfigSchema: (sources: OptionSources) => string;
  readonly renderInterfaces: (optionsSchema: ZodMiniType) => Readonly<Record<string, string>>;
}

/** Loads the generator. It is plain JavaScript without types, since `npm run docs` runs it without building it. */
export async function loadWriter(): Promise<Writer> {
  const file = path.join(import.meta.dirname, '../../scripts/write-docs.mjs');
  return (await import(pathToFileURL(file).href)) as Writer;
}

/** Loads the tables of the sources, regardless of what was built. */
export async function loadTables(): Promise<Tables> {
  const writer = await loadWriter();
  return writer.loadTables(
    (module) => import(/* @vite-ignore */ path.join(import.meta.dirname, `../../src/${module}.ts`)),
  );
}

/** A body in an OpenAPI document. */
export interface Content {
  readonly content?: Readonly<Record<string, { readonly schema?: object }>>;
}

/** An operation in an OpenAPI document. */
export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: object }[];
  readonly requestBody?: Content;
  readonly responses: Readonly<Record<string, Content & { readonly headers?: object }>>;
}

/** An OpenAPI document. */
export interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: object;
}

/** Returns the operations of a document by their id. */
export function operationsOf({ paths }: OpenApi): ReadonlyMap<string, Operation> {
  const all = Object.values(paths).flatMap((path) => Object.values(path));
  return new Map(all.filter((one) => 'operationId' in one).map((operation) => [operation.operationId, operation]));
}
