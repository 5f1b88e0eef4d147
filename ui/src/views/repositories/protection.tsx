import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { JobDocument } from '../../../../src/protocol/documents/activity.js';
import type { ProtectionDocument } from '../../../../src/protocol/documents/repositories.js';
import { send, type ApiError } from '../../api.ts';
import { formatBytes, formatDuration, formatShare } from '../../format.ts';
import { go, hrefOf } from '../../location.ts';
import { Icon } from '../../parts/icon.tsx';
import { Facts, Section } from '../../parts/page.tsx';
import { Problem } from '../../parts/problem.tsx';
import { describePolicy } from './retention-text.ts';
import { session } from '../../session.ts';
import { toProblem } from '../../use-answer.ts';

/** The limits and the protection of a repository's images: the values that apply, and their origins. */
export function Protection({
  name,
  protection,
  trashSeconds,
  onChange,
}: {
  /** The repository that is shown: a virtual one shows what applies to its pushes. */
  readonly name: string;
  readonly protection: ProtectionDocument;
  readonly trashSeconds: unknown;
  /** Opens the settings. Absent: they cannot be changed here. */
  readonly onChange: (() => void) | undefined;
}): VNode {
  const { repository, immutable, quotas, retention } = protection;
  const exceptions = immutable.except.length === 0 ? '' : `, except ${immutable.except.join(', ')}`;
  return (
    <Section
      title="Limits and protection"
      actions={
        onChange === undefined ? undefined : (
          <button type="button" onClick={onChange}>
            Change…
          </button>
        )
      }
    >
      {repository === name ? undefined : (
        <p>
          Pushes go to <a href={hrefOf(`/repositories/${repository}`)}>{repository}</a>, whose limits apply.
        </p>
      )}
      <Facts
        facts={[
          ['Immutable tags', immutable.tags.length === 0 ? 'none' : immutable.tags.join(', ') + exceptions],
          ['Quota', quotas.length === 0 ? 'none: the disk is the limit' : <Quotas key="quotas" quotas={quotas} />],
          [
            'Trash',
            typeof trashSeconds === 'number' ? (
              <TrashFact key="trash" {...{ repository, seconds: trashSeconds }} />
            ) : undefined,
          ],
          ['Retention', <Retention key="retention" repository={repository} policies={retention} />],
        ]}
      />
    </Section>
  );
}

function TrashFact({ repository, seconds }: { readonly repository: string; readonly seconds: number }): VNode {
  if (seconds === 0) return <>none: deleted images cannot be restored</>;
  return (
    <p>
      Deleted images can be restored for {formatDuration(seconds)}:{' '}
      <a href={hrefOf(`/repositories/${repository}/trash`)}>Trash</a>
    </p>
  );
}

const origins = { repository: 'here', declared: 'in the options', managed: 'with artifactapi quotas' } as const;

function Quotas({ quotas }: Pick<ProtectionDocument, 'quotas'>): VNode {
  return (
    <ul class="plain">
      {quotas.map(({ name, names, max_bytes: max, used_bytes: used, origin }) => (
        <li key={name}>
          {formatBytes(used)} of {formatBytes(max)} ({formatShare(max === 0 ? 1 : used / max)}
          {used >= max ? ', full' : ''}){origin === 'repository' ? '' : ` for ${names.join(', ')}`}, set{' '}
          {origins[origin]}
        </li>
      ))}
    </ul>
  );
}

function Retention({
  repository,
  policies,
}: {
  readonly repository: string;
  readonly policies: ProtectionDocument['retention'];
}): VNode {
  const [problem, setProblem] = useState<ApiError | undefined>(undefined);
  const start = async (): Promise<void> => {
    try {
      const job = { kind: 'retention', dry_run: true, names: [`${repository}/**`] };
      go(`/jobs/${(await send<JobDocument>('POST', 'jobs', job)).id}`);
    } catch (error) {
      setProblem(toProblem(error));
    }
  };
  if (policies.length === 0) return <>none: all images are kept</>;
  return (
    <>
      <ol class="plain">
        {policies.map((policy) => (
          <li key={policy.names.join(' ')}>
            <code>{policy.names.join(' ')}</code>: {describePolicy(policy)}
          </li>
        ))}
      </ol>
      <p class="faint">Set in the options. The first policy that matches an image applies.</p>
      {session.value?.may.admin === true ? (
        <button type="button" onClick={() => void start()}>
          <Icon name="play" /> Show what it would delete
        </button>
      ) : undefined}
      {problem === undefined ? undefined : <Problem error={problem} what="The dry run could not be started" />}
    </>
  );
}
