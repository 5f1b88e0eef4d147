import type { DeletionReport, DeletionRequest, ImageEditor, MovedTag, TagMoveRequest } from '../../ports/editing.js';
import type { Caller } from '../../ports/repository.js';
import type { LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { BulkDeletion } from './deletion/bulk-deletion.js';
import type { LocalParts } from './local-parts.js';
import { moveTag } from './tag-moves.js';

/** Changes images of a local repository. */
export class LocalEditor implements ImageEditor {
  readonly #config: LocalRepositoryConfig;
  readonly #parts: LocalParts;

  constructor(config: LocalRepositoryConfig, parts: LocalParts) {
    this.#config = config;
    this.#parts = parts;
  }

  delete(
    caller: Caller,
    image: string,
    request: DeletionRequest,
    { dryRun }: { readonly dryRun: boolean },
  ): Promise<DeletionReport> {
    return new BulkDeletion(this.#config, this.#parts, image).run(caller, request, dryRun);
  }

  moveTag(caller: Caller, image: string, request: TagMoveRequest): Promise<MovedTag> {
    return moveTag(this.#config, this.#parts, caller, { repository: this.#config.name, image }, request);
  }
}
