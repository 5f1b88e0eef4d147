import type { Repository } from '../../../ports/repository.js';
import { RegistryError } from '../../../protocol/errors.js';
import { parseName, parseTag } from '../../../protocol/names.js';
import { encodeExplanation, encodeProbe, problemsFound } from '../../../protocol/tables/documents/encoding.js';
import type { upstreamEndpoints } from '../../../protocol/tables/rows/upstream-endpoints.js';
import type { ManagementParams } from '../../../protocol/tables/management.js';
import type { Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';

type UpstreamOp = (typeof upstreamEndpoints)[number]['op'];
type Handlers = { readonly [O in UpstreamOp]: Handler<ManagementParams<O>> };

/** Creates the handlers that ask the upstream of a repository. */
export function createUpstreamHandlers(find: (name: string) => Repository): Handlers {
  return {
    'cache.refresh': async ({ caller, params, query }) => {
      const repository = find(params.repository);
      if (repository.refresh === undefined)
        throw noUpstream(repository, 'refresh', 'remote repositories with cache: true');
      const image = repository.canonicalImage(parseName(required(query, 'image')));
      const tag = parseTag(required(query, 'tag'));
      const problem = await repository.refresh(caller, image, tag);
      const explanation = await repository.explain(caller, image, { tag });
      return jsonReply(200, encodeExplanation(problem === undefined ? explanation : { ...explanation, problem }));
    },
    'upstream.probe': async ({ params }) => {
      const repository = find(params.repository);
      if (repository.probe === undefined) throw noUpstream(repository, 'probe', 'remote repositories');
      return jsonReply(200, encodeProbe(await repository.probe()));
    },
  };
}

function required(query: URLSearchParams, name: string): string {
  const value = query.get(name);
  if (value !== null) return value;
  throw problemsFound([{ path: name, problem: 'is required' }]);
}

function noUpstream({ config }: Repository, what: string, where: string): RegistryError {
  return new RegistryError('UNSUPPORTED', { message: `${what} applies to ${where}: "${config.name}" is not one` });
}
