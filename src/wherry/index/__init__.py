"""What is known: schema, migrations, queries. The only code that speaks SQL."""
