import { defineConfig } from 'vitest/config';
import { defines } from './defines.js';

export default defineConfig({ define: defines(), test: { include: ['tests/**/*.test.ts'], testTimeout: 30_000 } });
